"""A wait whose client has gone ends without a word, also where it fails in the same moment."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from jobstatus_consumer.console.pages.state import _while_connected
from jobstatus_reader import ReaderClosedError
from starlette.exceptions import HTTPException
from starlette.requests import Request


async def closed_meanwhile() -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise ReaderClosedError("the reader was closed during the wait") from None


async def gone() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def test_an_error_that_nobody_waits_for_is_not_logged() -> None:
    logged: list[dict[str, Any]] = []

    async def ask() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: logged.append(context))
        with pytest.raises(HTTPException, match="the client has gone"):
            await _while_connected(Request({"type": "http"}, gone), closed_meanwhile())
        await asyncio.sleep(0.05)
        gc.collect()

    asyncio.run(ask())
    assert logged == []
