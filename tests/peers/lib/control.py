"""The control port of the Proxmox stand-in: what a test asks of it behind the API's back (see the head of pve.py)."""
import asyncio
import collections
import json

import host as hosts
from aiohttp import web


def control(pve):
    """The control port's application."""
    async def command(request):
        asked = await request.json()
        try:
            if "set" in asked:
                result = [setattr(pve, name, value) for name, value in asked["set"].items()] and None
            elif "eval" in asked:
                result = eval(asked["eval"], {"pve": pve, "hosts": hosts})
            else:
                result = getattr(pve, asked["call"])(*asked.get("args", []), **asked.get("kwargs", {}))
            if asyncio.iscoroutine(result):
                result = await result
            return web.json_response({"ok": True, "result": json.loads(json.dumps(result, default=repr))})
        except Exception as error:  # noqa: BLE001 - the test that asked gets the error
            return web.json_response({"ok": False, "error": repr(error)}, status=400)

    async def listing(_):
        return web.json_response([{"method": m, "path": p, "body": b.decode(errors="replace")} for m, p, b in pve.requests])

    async def count(_):
        methods = collections.Counter(method for method, _, _ in pve.requests)
        return web.json_response({**methods, "writes": sum(n for m, n in methods.items() if m not in ("GET", "HEAD"))})

    async def forget(_):
        pve.requests.clear()
        return web.json_response({"ok": True})

    app = web.Application()
    app.router.add_post("/", command)
    app.router.add_get("/requests", listing)
    app.router.add_get("/requests/count", count)
    app.router.add_delete("/requests", forget)
    return app
