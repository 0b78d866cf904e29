"""The web application, put together."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import Depends, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse

from workers.web.actions import action_routes
from workers.web.describe import described
from workers.web.direct import direct_routes
from workers.web.follow import follow_routes
from workers.web.health import health_routes
from workers.web.memos import memo_routes
from workers.web.office import Office, local_or_with_token
from workers.web.problems import add_problems
from workers.web.webhooks import webhook_routes


def make_app(office: Office) -> FastAPI:
    """All routes over one desk."""
    app = FastAPI(
        title="Memoline",
        version=version("memoline"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    groups = (webhook_routes, memo_routes, direct_routes, follow_routes, action_routes, health_routes)
    routers = [routes(office) for routes in groups]
    for router in routers:
        app.include_router(router)
    add_problems(app, [route for router in routers for route in router.routes])
    guarded = [Depends(local_or_with_token(office))]

    @app.get("/docs", dependencies=guarded, include_in_schema=False)
    def docs(_request: Request) -> HTMLResponse:
        return get_swagger_ui_html(openapi_url="/openapi.json", title="Memoline")

    @app.get("/openapi.json", dependencies=guarded, include_in_schema=False)
    def openapi(_request: Request) -> JSONResponse:
        return JSONResponse(described(app.openapi()))

    return app
