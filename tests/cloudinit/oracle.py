"""What the real cloud-init makes of user data files: for each, its parts in order and the cloud-config they merge to, as JSON."""

import base64
import json
import logging
import sys
import tempfile

from cloudinit import handlers, helpers, safeyaml, user_data, util
from cloudinit.handlers.cloud_config import CloudConfigPartHandler


def processed(file):
    with tempfile.TemporaryDirectory() as folder:
        paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder})
        paths.get_ipath = lambda name: folder + "/merged"
        with open(file, "rb") as stream:
            message = user_data.UserDataProcessor(paths).process(stream.read())
        parts = []
        configs = CloudConfigPartHandler(paths)
        configs.handle_part(None, handlers.CONTENT_START, None, None, None, None)

        def seen(data, filename, payload, headers):
            kind = headers["Content-Type"].split(";")[0]
            raw = payload if isinstance(payload, bytes) else payload.encode("utf-8", "surrogateescape")
            parts.append({"kind": kind, "name": filename, "payload": base64.b64encode(raw).decode()})
            if kind in ("text/cloud-config", "text/cloud-config-jsonp"):
                configs.handle_part(data, kind, filename, payload, None, headers)

        handlers.walk(message, seen, data={})
        configs.handle_part(None, handlers.CONTENT_END, None, None, None, None)
        with open(folder + "/merged") as stream:
            merged = util.load_yaml(stream.read(), default={}) or {}
        # What cc_bootcmd hands to sh.
        commands = merged.get("bootcmd", [])
        return {"parts": parts, "config": merged, "bootcmd": util.shellify(commands)}


logging.disable(logging.CRITICAL)
json.dump([processed(file) for file in sys.argv[1:]], sys.stdout)
