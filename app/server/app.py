"""The web application: every resource's routes, behind the middleware."""

from __future__ import annotations

from aiohttp import web

from app.server import (
    assets,
    endpoints,
    estimate,
    events,
    features,
    free,
    history,
    internal,
    interrupt,
    jobs,
    link,
    login,
    models,
    node_docs,
    object_info,
    openapi,
    pack_files,
    packs,
    prompts,
    queue,
    replacements,
    settings_routes,
    static,
    subgraphs,
    system_stats,
    templates,
    upload,
    userdata,
    users,
    view,
    websocket,
)
from app.server.middleware import add_headers, explain, guard, pack
from app.server.pack_catalogue import PACKS, PackCatalogue
from app.server.pack_proxy import pack_session, to_packs
from app.server.services import SERVICES, Services

_FORM_ROOM = 1 << 16


def build_app(services: Services) -> web.Application:
    """The application that serves `services`. Every route of the API exists twice: as it is, and below /api."""
    most = services.settings.serve.max_upload_bytes + _FORM_ROOM
    app = web.Application(middlewares=[pack, explain, guard, to_packs], client_max_size=most)
    app[SERVICES] = services
    app[PACKS] = PackCatalogue(services.folders, services.settings)
    app.cleanup_ctx.append(pack_session)
    app.on_response_prepare.append(add_headers)
    for resource in (
        prompts,
        estimate,
        queue,
        history,
        interrupt,
        free,
        jobs,
        events,
        object_info,
        node_docs,
        system_stats,
        features,
        models,
        view,
        upload,
        settings_routes,
        users,
        userdata,
        templates,
        packs,
        subgraphs,
        replacements,
        endpoints,
        websocket,
    ):
        routes = resource.routes()
        app.add_routes(routes)
        app.add_routes(web.RouteDef(r.method, f"/api{r.path}", r.handler, r.kwargs) for r in routes)
    for resource in (pack_files, assets, internal, link, login, openapi, static):
        app.add_routes(resource.routes())
    openapi.describe_app(app)
    return app
