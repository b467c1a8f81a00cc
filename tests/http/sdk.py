"""Requests as the official SDKs send them."""

from typing import Any

from tests.http.service import OJS, Web

JSON = {"ojs-version": "1.0", "accept": OJS}
GO = {"ojs-version": "1.0.0-rc.1", "accept": OJS, "user-agent": "Go-http-client/1.1"}


async def said(web: Web, method: str, path: str, document: Any = None, **more: Any) -> Any:  # noqa: ANN401 - any JSON
    """An SDK's request."""
    return await web.send(method, path, document, headers=JSON, **more)
