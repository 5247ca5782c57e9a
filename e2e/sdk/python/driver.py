"""Drives one client of `centrifuge-python`: a line of JSON for each action, each answer and each event."""

import asyncio
import json
import sys
from collections import defaultdict, deque

from centrifuge import Client, ClientEventHandler, StreamPosition, SubscriptionEventHandler

# More than the longest line: a page of history.
LONGEST_LINE = 64 * 1024 * 1024


class Driver:
    def __init__(self, settings):
        self.binary = settings["protocol"] == "protobuf"
        # Who asks for a token waits until the story gives one.
        self.askers = defaultdict(deque)
        self.client = Client(
            settings["url"].replace("http", "ws", 1) + "/connection/websocket",
            events=ClientEvents(self),
            get_token=lambda: self.ask(""),
            use_protobuf=self.binary,
            timeout=settings["patience"] / 1000,
            min_reconnect_delay=0.05,
            max_reconnect_delay=0.5,
            proxy=None,
        )

    def say(self, line):
        print(json.dumps(line), flush=True)

    def hear(self, kind, **values):
        self.say({"event": {"type": kind, **values}})

    async def ask(self, channel):
        asker = asyncio.get_running_loop().create_future()
        self.askers[channel].append(asker)
        self.hear("token", channel=channel)
        return await asker

    def pack(self, value):
        return json.dumps(value).encode() if self.binary else value

    def unpack(self, data):
        if not self.binary:
            return data
        return json.loads(data) if data else None

    def person(self, info):
        if info is None:
            return None
        return {
            "user": info.user,
            "client": info.client,
            "connInfo": self.unpack(info.conn_info),
            "chanInfo": self.unpack(info.chan_info),
        }

    def publication(self, pub):
        return {"offset": pub.offset, "data": self.unpack(pub.data), "info": self.person(pub.info)}

    def subscribed(self, ctx):
        position = ctx.stream_position
        return {
            "recoverable": ctx.recoverable,
            "positioned": ctx.positioned,
            "wasRecovering": ctx.was_recovering,
            "recovered": ctx.recovered,
            "offset": position.offset if position else 0,
            "epoch": position.epoch if position else "",
            "data": self.unpack(ctx.data),
        }

    async def connect(self):
        await self.client.connect()

    async def disconnect(self):
        await self.client.disconnect()

    async def token(self, channel, token):
        self.askers[channel].popleft().set_result(token)

    async def subscribe(self, channel, withToken, joinLeave):
        subscription = self.client.new_subscription(
            channel,
            events=SubscriptionEvents(self, channel),
            get_token=self.ask if withToken else None,
            recoverable=True,
            join_leave=joinLeave,
        )
        await subscription.subscribe()

    async def unsubscribe(self, channel):
        await self.client.get_subscription(channel).unsubscribe()

    async def publish(self, channel, data):
        await self.client.publish(channel, self.pack(data))

    async def history(self, channel, limit, since=None, reverse=False):
        position = StreamPosition(since["offset"], since["epoch"]) if since else None
        result = await self.client.history(channel, limit=limit, since=position, reverse=reverse)
        publications = [self.publication(pub) for pub in result.publications]
        return {"publications": publications, "offset": result.offset, "epoch": result.epoch}

    async def presence(self, channel):
        result = await self.client.presence(channel)
        return [self.person(info) for info in result.clients.values()]

    async def presenceStats(self, channel):
        result = await self.client.presence_stats(channel)
        return {"numClients": result.num_clients, "numUsers": result.num_users}

    async def perform(self, request):
        try:
            outcome = {"done": await getattr(self, request["action"])(**request["argument"])}
        except Exception as error:
            outcome = {"failed": {"code": getattr(error, "code", 0), "message": f"{type(error).__name__}: {error}"}}
        self.say({"id": request["id"], **outcome})


class ClientEvents(ClientEventHandler):
    def __init__(self, driver):
        self.driver = driver

    async def on_connecting(self, ctx):
        self.driver.hear("connecting", code=ctx.code, reason=ctx.reason)

    async def on_connected(self, ctx):
        self.driver.hear("connected", client=ctx.client)

    async def on_disconnected(self, ctx):
        self.driver.hear("disconnected", code=ctx.code, reason=ctx.reason)

    async def on_error(self, ctx):
        self.driver.hear("error", code=ctx.code, message=str(ctx.error))

    async def on_subscribing(self, ctx):
        self.driver.hear("subscribing", server=True, channel=ctx.channel)

    async def on_subscribed(self, ctx):
        self.driver.hear("subscribed", server=True, channel=ctx.channel, **self.driver.subscribed(ctx))

    async def on_unsubscribed(self, ctx):
        self.driver.hear("unsubscribed", server=True, channel=ctx.channel)

    async def on_publication(self, ctx):
        self.driver.hear("publication", server=True, channel=ctx.channel, **self.driver.publication(ctx.pub))

    async def on_join(self, ctx):
        self.driver.hear("join", server=True, channel=ctx.channel, info=self.driver.person(ctx.info))

    async def on_leave(self, ctx):
        self.driver.hear("leave", server=True, channel=ctx.channel, info=self.driver.person(ctx.info))


class SubscriptionEvents(SubscriptionEventHandler):
    def __init__(self, driver, channel):
        self.driver = driver
        self.channel = channel

    def hear(self, kind, **values):
        self.driver.hear(kind, channel=self.channel, **values)

    async def on_subscribing(self, ctx):
        self.hear("subscribing", code=ctx.code)

    async def on_subscribed(self, ctx):
        self.hear("subscribed", **self.driver.subscribed(ctx))

    async def on_unsubscribed(self, ctx):
        self.hear("unsubscribed", code=ctx.code)

    async def on_publication(self, ctx):
        self.hear("publication", **self.driver.publication(ctx.pub))

    async def on_join(self, ctx):
        self.hear("join", info=self.driver.person(ctx.info))

    async def on_leave(self, ctx):
        self.hear("leave", info=self.driver.person(ctx.info))

    async def on_error(self, ctx):
        self.hear("error", code=ctx.code, message=str(ctx.error))


async def main():
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    driver = Driver(json.loads(sys.argv[1]))
    # Kept until they are done: the loop itself holds tasks weakly.
    tasks = set()
    while line := await reader.readline():
        task = asyncio.create_task(driver.perform(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
