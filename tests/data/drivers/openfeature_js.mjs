// Evaluates flags with each of OpenFeature's three hooks for JavaScript inside real spans.
// JSON exporters, or protobuf with FORM=protobuf; they send to $OTEL_EXPORTER_OTLP_ENDPOINT.
import { OpenFeature, InMemoryProvider } from '@openfeature/server-sdk';
import { EventHook, SpanEventHook, SpanHook } from '@openfeature/open-telemetry-hooks';
import { SpanKind, trace } from '@opentelemetry/api';
import { logs } from '@opentelemetry/api-logs';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const kind = process.env.FORM === 'protobuf' ? 'proto' : 'http';
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${kind}`);
const { OTLPLogExporter } = await import(`@opentelemetry/exporter-logs-otlp-${kind}`);

Error.stackTraceLimit = 0; // stack traces hold this machine's paths
const resource = resourceFromAttributes({
  'service.name': 'payment', 'service.version': '2.0.0-canary.1', 'deployment.environment.name': 'test',
});
const traces = new NodeTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
traces.register();
const loggers = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter() })] });
logs.setGlobalLoggerProvider(loggers);

const flag = (variants, defaultVariant) => ({ variants, defaultVariant, disabled: false });
await OpenFeature.setProviderAndWait(new InMemoryProvider({
  'new-pricing': flag({ on: true, off: false }, 'on'),
  logo: flag({ red: '#c05543', green: '#2ca02c' }, 'red'),
  ratio: flag({ half: 0.5 }, 'half'),
  config: flag({ a: { x: [1, 2] } }, 'a'),
}));
const context = { targetingKey: 'user-42' };
const tracer = trace.getTracer('driver', '1.0');
for (const hook of [new EventHook(), new SpanEventHook(), new SpanHook()]) {
  const client = OpenFeature.getClient();
  client.clearHooks();
  client.addHooks(hook);
  await tracer.startActiveSpan(hook.constructor.name, { kind: SpanKind.SERVER }, async (span) => {
    span.setAttribute('user.id', 'user-42');
    await client.getBooleanValue('new-pricing', false, context);
    await client.getStringValue('logo', 'none', context);
    await client.getNumberValue('ratio', 0, context);
    await client.getObjectValue('config', {}, context);
    await client.getBooleanValue('missing', false, context);
    span.end();
  });
}
await traces.shutdown();
await loggers.shutdown();
