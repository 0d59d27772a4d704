"""`telephonegan serve`: the HTTP API and its page."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import sys
from pathlib import Path

from telephonegan.cli.options import add_threads, given, whole
from telephonegan.errors import SettingsError

TOKEN = "TELEPHONEGAN_TOKEN"
_EXAMPLES = f"""examples:
  telephonegan serve
  telephonegan serve --world flowers --world birds --port 8080
  {TOKEN}=$(openssl rand -hex 32) telephonegan serve --host 0.0.0.0 --allow-host pictures.example.org"""
_SETTINGS = (
    *("host", "port", "worlds", "captioners", "generators", "axes", "embeddings", "bird", "device", "precision"),
    *("allowed_hosts", "folder", "public_url", "queue", "batch", "max_body", "max_games", "max_steps"),
)


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan serve`."""
    parser.epilog = _EXAMPLES
    several = {"action": "append", "metavar": "NAME"}
    parser.add_argument("--host", help="the address to listen on (default: 127.0.0.1, which only this machine reaches)")
    parser.add_argument("--port", type=whole, help="the port, 0 for any free one (default: 8000)")
    parser.add_argument("--world", dest="worlds", help="serve this world; may be repeated (default: all)", **several)
    parser.add_argument("--captioner", dest="captioners", help="serve this captioner too; may be repeated", **several)
    parser.add_argument("--generator", dest="generators", help="serve this generator too; may be repeated", **several)
    parser.add_argument("--axes", help="serve these axes too; may be repeated", **several)
    embedding = "serve this embedding too, or KIND/NAME of a matcher; may be repeated"
    parser.add_argument("--embedding", dest="embeddings", help=embedding, **several)
    parser.add_argument("--bird", metavar="NAME", help="the generator of /api/v1.0/bird (default: birds)")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    precision = "float32 or bf16, which is faster where the device has it, and paints a seed a little differently"
    parser.add_argument("--precision", help=f"{precision} (default: float32)")
    add_threads(parser)
    token = f"a file with the token that clients must send (default: ${TOKEN}; without one, everybody is answered)"
    parser.add_argument("--token-file", type=Path, metavar="FILE", help=token)
    host = "a name by which clients call the server, besides localhost; may be repeated"
    parser.add_argument("--allow-host", dest="allowed_hosts", help=host, **several)
    parser.add_argument("--public-url", metavar="URL", help="the server's address, if a proxy stands before it")
    pictures = "where pictures are kept for a day, at most 1 GB (default: served-pictures beside your own models)"
    parser.add_argument("--pictures", dest="folder", type=Path, metavar="FOLDER", help=pictures)
    parser.add_argument("--queue", type=whole, metavar="N", help="pictures that may wait for the models (default: 256)")
    parser.add_argument("--batch", type=whole, metavar="N", help="pictures computed together at most (default: 16)")
    parser.add_argument("--max-body", type=whole, metavar="BYTES", help="of a request (default: 16000000)")
    parser.add_argument("--max-games", type=whole, metavar="N", help="games played at a time (default: 32)")
    parser.add_argument("--max-steps", type=whole, metavar="N", help="of a guide (default: 60)")


def run(options: argparse.Namespace) -> int:
    """Answer requests until Ctrl-C or SIGTERM; what runs then is finished."""
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("fastapi_offline") is None:
        raise SettingsError("The server needs the extra [serve]: pip install 'telephonegan[serve]'.")
    from telephonegan.serving import Settings, serve

    typed = given(options, *_SETTINGS)
    lists = {name: tuple(value) for name, value in typed.items() if isinstance(value, list)}
    settings = Settings(**typed | lists, token=_token(options.token_file))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for name in ("uvicorn", "python_multipart"):  # they warn of everything that strangers send
        logging.getLogger(name).setLevel(logging.ERROR)
    if not settings.is_loopback and not settings.token:
        logging.warning("Everybody who reaches %s is answered: there is no token, see --token-file.", settings.host)
    serve(settings, on_start=lambda address: print(f"telephonegan serves at {address}", flush=True))
    return 0


def _token(path: Path | None) -> str:
    """The token of a file, without the line's end, or else of the environment."""
    if path is None:
        return os.environ.get(TOKEN, "")
    try:
        token = path.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The token cannot be read from {path}: {error}.") from error
    if not token:
        raise SettingsError(f"{path} is empty: put a token into it, such as openssl rand -hex 32 prints.")
    return token
