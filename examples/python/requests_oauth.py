# A library that sends HTTP Basic with an empty password by itself, with the workload's own token as client assertion.
import os
from pathlib import Path

from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

from show import show


def get_token(scope):
    session = OAuth2Session(client=BackendApplicationClient(os.environ["CLIENT_ID"], scope=scope))
    token = session.fetch_token(
        f"{os.environ['BROKER']}/{os.environ['TENANT']}/oauth2/v2.0/token",
        client_assertion=Path(os.environ["TOKEN_FILE"]).read_text().strip(),
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    )
    return token["access_token"]


show(get_token)
