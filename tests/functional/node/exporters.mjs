// Everything that the OpenTelemetry SDK for JavaScript puts into spans and log records, sent by its own exporters.
// $KIND is http (JSON), proto or grpc; they send to $OTEL_EXPORTER_OTLP_ENDPOINT, packed as $OTEL_EXPORTER_OTLP_COMPRESSION says.
import { DiagConsoleLogger, DiagLogLevel, SpanKind, SpanStatusCode, diag, trace } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const { KIND: kind, SERVICE: service } = process.env;
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${kind}`);
const { OTLPLogExporter } = await import(`@opentelemetry/exporter-logs-otlp-${kind}`);

diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.WARN); // a failed export or a partial success is a warning
const resource = resourceFromAttributes({ 'service.name': service, 'service.version': '1.2' });
const traces = new NodeTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
traces.register();
const logs = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter() })] });
const tracer = trace.getTracer('script', '1.0');

tracer.startActiveSpan('POST /orders', { kind: SpanKind.SERVER, attributes: { 'user.id': 'u7', text: 'é "quoted"' } }, (server) => {
  server.setAttributes({ yes: true, int: 2 ** 53 - 1, float: 0.1, list: ['a', 'b'], ints: [1, 2] });
  server.addEvent('feature_flag.evaluation', { 'feature_flag.key': 'f', 'feature_flag.result.variant': 'on' });
  const child = tracer.startSpan('SELECT', { kind: SpanKind.CLIENT, links: [{ context: server.spanContext() }] });
  child.recordException(new Error('no stock'));
  child.setStatus({ code: SpanStatusCode.ERROR, message: 'no stock' });
  child.end();
  logs.getLogger('script').emit({
    eventName: 'order.failed', severityNumber: SeverityNumber.ERROR, severityText: 'ERROR', body: 'order 7 failed',
    attributes: { 'order.id': 7 },
  });
  server.end();
});
for (let number = 0; number < 300; number++) tracer.startSpan('filler', { attributes: { number } }).end();
await traces.shutdown();
await logs.shutdown();
