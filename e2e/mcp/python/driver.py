"""Drives one client of the official `mcp` package: a line of JSON for each action, each answer and each progress."""

import asyncio
import json
import sys

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Implementation

# More than the longest line: an answer of a tool.
LONGEST_LINE = 64 * 1024 * 1024


def say(line):
    print(json.dumps(line), flush=True)


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def transport(settings):
    if settings["transport"] == "stdio":
        program = settings["program"]
        return stdio_client(
            StdioServerParameters(
                command=program["command"], args=program["args"], env=program["env"], cwd=program["cwd"]
            )
        )
    http = httpx2.AsyncClient(headers=settings["headers"], timeout=settings["patience"] / 1000)
    return streamable_http_client(settings["url"], http_client=http)


class Driver:
    def __init__(self, client, settings):
        self.client = client
        self.settings = settings
        self.calls = {}

    async def about(self, _):
        return {"revision": self.client.protocol_version, "instructions": self.client.instructions}

    async def tools(self, _):
        return plain(await self.client.list_tools())

    async def call(self, wanted):
        async def progress(done, total, _message):
            say({"event": {"type": "progress", "call": wanted.get("id"), "progress": done, "total": total}})

        call = asyncio.ensure_future(
            self.client.call_tool(wanted["name"], wanted["arguments"], progress_callback=progress)
        )
        self.calls[wanted.get("id")] = call
        try:
            return plain(await call)
        except asyncio.CancelledError:
            return {"cancelled": True}

    async def cancel(self, call):
        self.calls[call].cancel()

    async def resources(self, _):
        return plain(await self.client.list_resources())

    async def templates(self, _):
        return plain(await self.client.list_resource_templates())

    async def resource(self, uri):
        return plain(await self.client.read_resource(uri))

    async def prompts(self, _):
        return plain(await self.client.list_prompts())

    async def prompt(self, name):
        return plain(await self.client.get_prompt(name))


async def answer(driver, request):
    try:
        done = await getattr(driver, request["action"])(request.get("argument"))
        say({"id": request["id"], "done": done})
    except MCPError as error:
        say({"id": request["id"], "failed": {"code": error.error.code, "message": error.error.message}})
    except Exception as error:
        say({"id": request["id"], "failed": {"code": 0, "message": f"{type(error).__name__}: {error}"}})


async def main(settings):
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    # Asked what it speaks, the server names the stateless revision.
    mode = "legacy" if settings["mode"] == "legacy" else "auto"
    client = Client(transport(settings), mode=mode, client_info=Implementation(name="py-agent", version="1"))
    async with client:
        driver = Driver(client, settings)
        answers = set()
        while line := await reader.readline():
            request = json.loads(line)
            if request["action"] == "close":
                break
            answers.add(asyncio.ensure_future(answer(driver, request)))


asyncio.run(main(json.loads(sys.argv[1])))
