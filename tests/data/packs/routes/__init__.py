"""A pack with routes of its own, for its part of the page."""

import asyncio
import os
import time

import folder_paths
from aiohttp import web
from server import PromptServer

WEB_DIRECTORY = "js"
NODE_CLASS_MAPPINGS = {}
server = PromptServer.instance
folder_paths.add_model_folder_path("acme_styles", os.path.join(folder_paths.models_dir, "acme_styles"))


@server.routes.get("/acme/hello/{name}")
async def hello(request):
    return web.json_response({"hello": request.match_info["name"], "query": dict(request.query)})


@server.routes.post("/acme/echo")
async def echo(request):
    return web.Response(body=await request.read(), content_type="application/octet-stream", status=201)


@server.routes.post("/acme/form")
async def form(request):
    data = await request.post()
    return web.json_response({name: getattr(value, "filename", value) for name, value in data.items()})


@server.routes.get("/acme/stream")
async def stream(request):
    response = web.StreamResponse(headers={"Content-Type": "text/plain", "Set-Cookie": "a=b"})
    await response.prepare(request)
    for number in range(3):
        await response.write(f"{number}\n".encode())
        await asyncio.sleep(0.01)
    return response


@server.routes.get("/acme/refuse")
async def refuse(request):
    return web.Response(status=418, text="no")


@server.routes.get("/acme/fail")
async def fail(request):
    raise KeyError("missing")


@server.routes.get("/acme/hang")
async def hang(request):
    time.sleep(float(request.query.get("seconds", "3")))
    return web.Response(text="late")


@server.routes.get("/object_info")
async def stolen(request):
    return web.json_response({})


def noted(data):
    data.setdefault("extra_data", {})["seen"] = True
    return data


server.add_on_prompt_handler(noted)
