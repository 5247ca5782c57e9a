"""Signs and verifies with `livekit-api`: a line of JSON for each action and each answer."""

import datetime
import json
import sys

from google.protobuf.json_format import MessageToDict
from livekit.api import AccessToken, TokenVerifier, VideoGrants, WebhookReceiver

LIFE = datetime.timedelta(minutes=5)


class Driver:
    def __init__(self, settings):
        self.key = (settings["key"], settings["secret"])
        self.verifier = TokenVerifier(*self.key)

    def sign(self, argument):
        grants = VideoGrants(
            room=argument["room"],
            room_join=True,
            can_publish_sources=argument["sources"],
            can_update_own_metadata=True,
        )
        token = AccessToken(*self.key).with_ttl(LIFE).with_grants(grants)
        token.with_identity(argument["identity"]).with_name(argument["name"]).with_kind(argument["kind"])
        token.with_metadata(argument["metadata"]).with_attributes(argument["attributes"])
        return token.to_jwt()

    def verify(self, argument):
        return self.verifier.verify(argument["token"]).asdict()

    def signWebhook(self, argument):
        return AccessToken(*self.key).with_ttl(LIFE).with_sha256(argument["sha256"]).to_jwt()

    def receiveWebhook(self, argument):
        return MessageToDict(WebhookReceiver(self.verifier).receive(argument["body"], argument["authorization"]))


def main():
    driver = Driver(json.loads(sys.argv[1]))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"done": getattr(driver, request["action"])(request["argument"])}
        except Exception as error:
            answer = {"failed": {"code": 0, "message": f"{type(error).__name__}: {error}"}}
        print(json.dumps({"id": request["id"], **answer}), flush=True)


main()
