"""A small online shop: ten services, four entry points, a queue, databases, caches, flags, and one regression.

What it plants: users with the flag `new-pricing` on wait about 60 ms longer in `pricing` `ComputeQuote`. What it also
does, harmlessly: `price-badge` mostly goes with `new-pricing`, `one-click-checkout` ramps up during the recording and
exists only at the checkout, `catalog` is being rolled out and `shipping` runs two versions side by side.
"""

from traceguard.simulate.fleet import Call, EntryPoint, Flag, Fleet, Operation, Plant, Service, Value, Variant, Version

REGRESSION = Plant("pricing", "ComputeQuote", flags=(("new-pricing", "on"),), self_ms=60.0, self_sigma=0.25)


def shop(*, plants: tuple[Plant, ...] = (REGRESSION,), users: int = 500) -> Fleet:
    """The shop with what goes wrong in it; a healthy one with `plants=()`. About 14 spans and 80 ms a request."""
    return Fleet(
        name="shop", services=_SERVICES, operations=_OPERATIONS, entries=_ENTRIES, flags=_FLAGS, plants=plants,
        users=users, user_sigma=0.12, request_sigma=0.22,
    )  # fmt: skip


def _http(method: str, route: str) -> dict[str, Value]:
    return {"http.request.method": method, "http.route": route, "url.scheme": "https", "network.protocol.version": "2"}


def _rpc(service: str, method: str) -> dict[str, Value]:
    return {"rpc.system.name": "grpc", "rpc.method": f"shop.{service}/{method}"}


def _sql(name: str, operation: str, table: str) -> dict[str, Value]:
    return {
        "db.system.name": "postgresql", "db.namespace": name, "db.operation.name": operation,
        "db.collection.name": table, "server.address": f"{name}-db", "server.port": 5432,
    }  # fmt: skip


def _cache(operation: str) -> dict[str, Value]:
    return {"db.system.name": "redis", "db.operation.name": operation, "server.address": "cache", "server.port": 6379}


def _external(method: str, host: str) -> dict[str, Value]:
    return {"http.request.method": method, "server.address": host, "server.port": 443}


_QUEUE: dict[str, Value] = {
    "messaging.system": "kafka",
    "messaging.destination.name": "orders",
    "messaging.operation.name": "orders",
}

_SERVICES = (
    Service("frontend", "go", (Version("4.2.0", instances=2),), tags_user=True),
    Service("catalog", "rust", (Version("1.14.2", 0.9, 0.4), Version("1.15.0", 0.1, 0.6))),
    Service("pricing", "rust", (Version("3.0.1", instances=2),)),
    Service("cart", "go", (Version("2.8.0"),)),
    Service("checkout", "go", (Version("5.1.3"),), tags_user=True),
    Service("payment", "java", (Version("1.9.0"),)),
    Service("shipping", "rust", (Version("2.3.0", 0.5), Version("2.4.0", 0.5))),
    Service("recommendation", "python", (Version("0.7.4"),), flags_as="log"),
    Service("inventory", "go", (Version("1.3.0"),)),
    Service("notifications", "go", (Version("1.0.9"),)),
)

_OPERATIONS = (
    Operation("frontend", "GET /", 24, 0.35, attributes=_http("GET", "/"), stages=(
        (Call("catalog", "ListProducts"), Call("recommendation", "ListRecommendations", 0.8, tolerated=True)),
        (Call("cart", "GetCart", 0.6),),
    )),
    Operation("frontend", "GET /product/{id}", 18, 0.35, attributes=_http("GET", "/product/{id}"), stages=(
        (Call("catalog", "GetProduct"),),
        (Call("pricing", "ComputeQuote"), Call("inventory", "CheckStock"),
         Call("recommendation", "ListRecommendations", 0.5, tolerated=True)),
    )),
    Operation("frontend", "POST /cart", 12, 0.35, attributes=_http("POST", "/cart"), stages=(
        (Call("catalog", "GetProduct"),),
        (Call("cart", "AddItem"), Call("pricing", "ComputeQuote")),
    )),
    Operation("frontend", "POST /checkout", 20, 0.35, attributes=_http("POST", "/checkout"), error_rate=0.002, stages=(
        (Call("checkout", "PlaceOrder"),),
    )),
    Operation("catalog", "ListProducts", 9, 0.4, attributes=_rpc("Catalog", "ListProducts"), stages=(
        (Call("catalog", "GET products"),),
        (Call("catalog", "SELECT products", 0.3),),
    )),
    Operation("catalog", "GetProduct", 4, 0.4, attributes=_rpc("Catalog", "GetProduct"), error_rate=0.001, stages=(
        (Call("catalog", "GET products"),),
        (Call("catalog", "SELECT products", 0.25),),
    )),
    Operation("catalog", "GET products", 1.2, 0.5, "client", attributes=_cache("GET")),
    Operation("catalog", "SELECT products", 7, 0.6, "client", attributes=_sql("catalog", "SELECT", "products")),
    Operation("pricing", "ComputeQuote", 14, 0.4, attributes=_rpc("Pricing", "ComputeQuote"), stages=(
        (Call("pricing", "load rules"), Call("pricing", "SELECT discounts", 0.5)),
    )),
    Operation("pricing", "load rules", 2.5, 0.4, "internal", attributes={"code.function.name": "pricing::rules::load"}),
    Operation("pricing", "SELECT discounts", 5, 0.5, "client", attributes=_sql("pricing", "SELECT", "discounts")),
    Operation("cart", "GetCart", 3, 0.4, attributes=_rpc("Cart", "GetCart"), stages=((Call("cart", "HGETALL"),),)),
    Operation("cart", "AddItem", 4, 0.4, attributes=_rpc("Cart", "AddItem"), stages=(
        (Call("inventory", "CheckStock"),),
        (Call("cart", "HSET"),),
    )),
    Operation("cart", "EmptyCart", 2, 0.4, attributes=_rpc("Cart", "EmptyCart"), stages=((Call("cart", "DEL"),),)),
    Operation("cart", "HGETALL", 1.3, 0.5, "client", attributes=_cache("HGETALL")),
    Operation("cart", "HSET", 1.4, 0.5, "client", attributes=_cache("HSET")),
    Operation("cart", "DEL", 1.1, 0.5, "client", attributes=_cache("DEL")),
    Operation("checkout", "PlaceOrder", 16, 0.35, attributes=_rpc("Checkout", "PlaceOrder"), stages=(
        (Call("cart", "GetCart"),),
        (Call("pricing", "ComputeQuote"), Call("shipping", "QuoteShipping")),
        (Call("inventory", "Reserve"),),
        (Call("payment", "Charge"),),
        (Call("checkout", "INSERT orders"), Call("shipping", "ShipOrder")),
        (Call("notifications", "process orders"), Call("cart", "EmptyCart")),
    )),
    Operation("checkout", "INSERT orders", 6, 0.5, "client", attributes=_sql("checkout", "INSERT", "orders")),
    Operation("payment", "Charge", 8, 0.4, attributes=_rpc("Payment", "Charge"), stages=((Call("payment", "POST"),),)),
    Operation("payment", "POST", 45, 0.35, "client", error_rate=0.008,
              attributes=_external("POST", "api.bank.example")),
    Operation("shipping", "QuoteShipping", 11, 0.45, attributes=_rpc("Shipping", "QuoteShipping")),
    Operation("shipping", "ShipOrder", 9, 0.4, attributes=_rpc("Shipping", "ShipOrder"), stages=(
        (Call("shipping", "INSERT shipments"),),
    )),
    Operation("shipping", "INSERT shipments", 5, 0.5, "client", attributes=_sql("shipping", "INSERT", "shipments")),
    Operation("recommendation", "ListRecommendations", 22, 0.45, error_rate=0.004,
              attributes=_rpc("Recommendation", "ListRecommendations"),
              stages=((Call("recommendation", "rank"),), (Call("catalog", "ListProducts", 0.4),))),
    Operation("recommendation", "rank", 6, 0.4, "internal", attributes={"code.function.name": "ranking.rank"}),
    Operation("inventory", "CheckStock", 4, 0.4, attributes=_rpc("Inventory", "CheckStock"), stages=(
        (Call("inventory", "SELECT stock"),),
    )),
    Operation("inventory", "Reserve", 6, 0.4, attributes=_rpc("Inventory", "Reserve"), error_rate=0.002, stages=(
        (Call("inventory", "UPDATE stock"),),
    )),
    Operation("inventory", "SELECT stock", 4, 0.5, "client", attributes=_sql("inventory", "SELECT", "stock")),
    Operation("inventory", "UPDATE stock", 7, 0.5, "client", attributes=_sql("inventory", "UPDATE", "stock")),
    Operation("notifications", "process orders", 12, 0.5, "consumer", network_ms=40, caller_name="send orders",
              attributes=_QUEUE, stages=((Call("notifications", "POST"),),)),
    Operation("notifications", "POST", 60, 0.5, "client", error_rate=0.01,
              attributes=_external("POST", "mail.example")),
)  # fmt: skip

_ENTRIES = (
    EntryPoint("frontend", "GET /", 0.34),
    EntryPoint("frontend", "GET /product/{id}", 0.36),
    EntryPoint("frontend", "POST /cart", 0.17),
    EntryPoint("frontend", "POST /checkout", 0.13),
)

_ON_OFF = (Variant("off", 0.5), Variant("on", 0.5))
_FLAGS = (
    Flag("new-pricing", _ON_OFF, (
        ("frontend", "GET /product/{id}"), ("frontend", "POST /cart"), ("frontend", "POST /checkout"),
    )),
    Flag("price-badge", _ON_OFF, (("frontend", None),), follows="new-pricing", agreement=0.5),
    Flag("one-click-checkout", (Variant("off", 0.9, 0.4), Variant("on", 0.1, 0.6)), (("frontend", None),),
         entry=("frontend", "POST /checkout")),
    Flag("recommendation-model", (Variant("baseline", 0.4), Variant("two-tower", 0.3), Variant("graph", 0.3)),
         (("recommendation", "ListRecommendations"),)),
    Flag("catalog-cache-v2", (Variant("off", 0.7), Variant("on", 0.3)), (("catalog", None),)),
)  # fmt: skip
