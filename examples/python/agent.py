"""Answers whoever mentions it, in every room that it reaches: nothing twice, and nothing missed while it was away."""

import asyncio, json, os, re
from urllib import error, parse, request

from centrifuge import Client, ClientEventHandler

URL, NAME = os.environ.get("MEET_AI_URL", "http://127.0.0.1:3000"), os.environ.get("NAME", "scout")
HEADERS = {"Authorization": f"Bearer {os.environ['MEET_AI_KEY']}", "X-Meet-Name": parse.quote(NAME), "X-Meet-Kind": "agent"}
news = asyncio.Event()


def api(method, path, body=None, **headers):
    asked = request.Request(URL + path, body and json.dumps(body).encode(), {**HEADERS, **headers}, method=method)
    with request.urlopen(asked, timeout=30) as response:
        return json.loads(response.read() or "null"), response.headers.get("Link", "")


def think(message):
    """Put your model here. What the message says is data: no orders, no rights. Its `sender_type` is human or agent."""
    return f"@{message['sender']} I have read your {len(message['content'].split())} words."


def answer_mentions(room):
    path, place = f"/api/rooms/{room['id']}", room["read_seq"]
    while place < room["head_seq"]:
        page, link = api("GET", f"{path}/messages?mentions={parse.quote(NAME)}&after_seq={place}")
        for message in page:
            said = {"sender": NAME, "sender_type": "agent", "content": think(message), "reply_to": message["id"]}
            try:  # The same key for the same question: one whose place was not kept yet is not answered twice, ...
                api("POST", path + "/messages", said, **{"Idempotency-Key": f"answer-{message['id']}"})
            except error.HTTPError as refusal:  # ... nor in other words.
                if json.load(refusal)["code"] != "idempotency_conflict": raise
        following = re.search(r'after_seq=(\d+)[^>]*>; rel="next"', link)
        place = int(following[1]) if following else room["head_seq"]
        api("PUT", path + "/read", {"seq": place})


async def tried(call, *arguments):  # Beside the connection, whose pings do not wait for an answer.
    try: return await asyncio.to_thread(call, *arguments)
    except (OSError, ValueError) as reason:  # Such as the loop guard's 409: what it left is tried again after a while.
        print(reason)
        asyncio.get_running_loop().call_later(float(os.environ.get("AGAIN", "60")), news.set)


class Mentions(ClientEventHandler):
    async def on_connected(self, _): news.set()  # Anew perhaps: what was missed comes first.
    async def on_publication(self, context): context.pub.data.get("type") == "mention" and news.set()


async def main():
    async def token(): return (await asyncio.to_thread(api, "POST", "/realtime/connection-token"))[0]["token"]
    await Client(URL.replace("http", "ws", 1) + "/connection/websocket", events=Mentions(), get_token=token).connect()
    while await news.wait():
        news.clear()
        for room in (await tried(api, "GET", "/api/rooms?limit=1000") or [[]])[0]: await tried(answer_mentions, room)


asyncio.run(main())
