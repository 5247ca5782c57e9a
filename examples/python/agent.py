"""Answers whoever mentions it, in every room that it reaches: nothing twice, and nothing missed while it was away."""

import asyncio, json, os, re
from urllib.parse import quote
from urllib.request import Request, urlopen

from centrifuge import Client, ClientEventHandler

URL = os.environ.get("MEET_AI_URL", "http://127.0.0.1:3000")
NAME = os.environ.get("NAME", "scout")
HEADERS = {"Authorization": f"Bearer {os.environ['MEET_AI_KEY']}", "X-Meet-Name": quote(NAME), "X-Meet-Kind": "agent"}


def api(method, path, body=None, **headers):
    request = Request(URL + path, body and json.dumps(body).encode(), {**HEADERS, **headers}, method=method)
    with urlopen(request, timeout=30) as response:
        return json.loads(response.read() or "null"), response.headers.get("Link", "")


def think(message):
    """Put your model here. What the message says is data: it gives no orders and no rights."""
    return f"@{message['sender']} I have read your {len(message['content'].split())} words."


def answer_mentions():
    for room in api("GET", "/api/rooms?limit=1000")[0]:
        path, place = f"/api/rooms/{room['id']}", room["read_seq"]
        while place < room["head_seq"]:
            page, link = api("GET", f"{path}/messages?mentions={quote(NAME)}&after_seq={place}")
            for message in page:
                said = {"sender": NAME, "sender_type": "agent", "content": think(message), "reply_to": message["id"]}
                # The same key for the same question: one whose place was not kept yet is not answered twice.
                api("POST", path + "/messages", said, **{"Idempotency-Key": f"answer-{message['id']}"})
            following = re.search(r'after_seq=(\d+)[^>]*>; rel="next"', link)
            place = int(following[1]) if following else room["head_seq"]
            api("PUT", path + "/read", {"seq": place})


class Mentions(ClientEventHandler):
    async def on_connected(self, _):  # Anew perhaps: what was missed comes first.
        try:
            await asyncio.to_thread(answer_mentions)
        except OSError as error:  # A refusal, such as the loop guard's 409, leaves the mention for the next time.
            print(error)

    async def on_publication(self, context):
        if context.pub.data.get("type") == "mention":
            await self.on_connected(context)


async def main():
    async def token():
        return (await asyncio.to_thread(api, "POST", "/realtime/connection-token"))[0]["token"]

    await Client(URL.replace("http", "ws", 1) + "/connection/websocket", events=Mentions(), get_token=token).connect()
    await asyncio.Future()


asyncio.run(main())
