"""Runs a tree's own Python modules with an installed Salt, for a program that is not Salt.

One JSON text on each line of standard input is a request, one on each line of standard
output its answer: {"ok": ...} or {"error": {"type", "text", "trace"}}. What JSON cannot
hold is marked: {"!bytes": base64}, {"!map": [[key, value], ...]}.
"""

import base64
import inspect
import json
import os
import shutil
import sys
import traceback

# What modules print must not come between the answers.
answers = os.fdopen(os.dup(1), "wb")
requests = os.fdopen(os.dup(0), "rb")
os.dup2(2, 1)
nothing = os.open(os.devnull, os.O_RDONLY)
os.dup2(nothing, 0)
os.close(nothing)
sys.path[:] = [place for place in sys.path if place]

KINDS = ("modules", "states", "grains", "utils")


def packed(value, depth=0):
    """The same in types that JSON has."""
    if depth > 100:
        return None
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return {"!bytes": base64.b64encode(bytes(value)).decode()}
    if hasattr(value, "items") and callable(value.items):
        pairs = [(key, packed(item, depth + 1)) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("!") for key, _ in pairs):
            return {str(key): item for key, item in pairs}
        return {"!map": [[packed(key, depth + 1), item] for key, item in pairs]}
    if isinstance(value, (list, tuple, set, frozenset)) or hasattr(value, "__next__"):
        return [packed(item, depth + 1) for item in value]
    return str(value)


def unpacked(value):
    if isinstance(value, list):
        return [unpacked(item) for item in value]
    if isinstance(value, dict):
        if set(value) == {"!bytes"}:
            return base64.b64decode(value["!bytes"])
        if set(value) == {"!map"}:
            return {unpacked(key): unpacked(item) for key, item in value["!map"]}
        return {key: unpacked(item) for key, item in value.items()}
    return value


def signature(function):
    """Names, defaults and the two collectors of a function."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {"by_position": [], "by_name": [], "rest": "args", "extra": "kwargs"}
    told = {"by_position": [], "by_name": [], "rest": None, "extra": None}
    for parameter in parameters:
        one = [parameter.name]
        if parameter.default is not inspect.Parameter.empty:
            one.append(packed(parameter.default))
        if parameter.kind == inspect.Parameter.VAR_POSITIONAL:
            told["rest"] = parameter.name
        elif parameter.kind == inspect.Parameter.VAR_KEYWORD:
            told["extra"] = parameter.name
        elif parameter.kind == inspect.Parameter.KEYWORD_ONLY:
            told["by_name"].append(one)
        else:
            told["by_position"].append(one)
    return told


class Bridge:
    def __init__(self, request):
        import logging

        logging.disable(logging.CRITICAL)
        import salt.config
        import salt.loader

        self.loader = salt.loader
        self.directory = request["directory"]
        self.opts = salt.config.minion_config(None, minion_id=request["id"])
        self.opts.update(request["config"])
        self.opts["extension_modules"] = os.path.join(self.directory, "extmods")
        self.opts["cachedir"] = os.path.join(self.directory, "cache")
        self.opts["id"] = request["id"]
        self.context = {}
        self.know(request)

    def know(self, request):
        """Takes on grains and pillar, and forgets what was loaded with others."""
        self.opts["grains"] = request["grains"]
        self.opts["pillar"] = request["pillar"]
        self.runs = {}
        self.own = {}

    def run(self, test):
        """Salt's state machinery, which has the loaders too."""
        import salt.state

        if test not in self.runs:
            opts = dict(self.opts, test=test)
            self.runs[test] = salt.state.State(
                opts, initial_pillar=opts["pillar"], context=self.context
            )
        return self.runs[test]

    def tree(self, kind):
        """A loader of the tree's own modules alone."""
        if kind not in self.own:
            place = os.path.join(self.opts["extension_modules"], kind)
            run = self.run(False)
            if kind == "grains":
                pack = {
                    "__utils__": run.functions.pack.get("__utils__"),
                    "__salt__": run.functions,
                    "__context__": self.context,
                    "__proxy__": None,
                }
                tag = "grains"
            else:
                base = run.states if kind == "states" else run.functions
                pack = dict(base.pack, __salt__=run.functions)
                tag = "states" if kind == "states" else "module"
            self.own[kind] = self.loader.LazyLoader(
                [place], dict(self.opts), tag=tag, pack=pack
            )
        return self.own[kind]

    def catalog(self, _request):
        told = {}
        for kind in ("modules", "states"):
            loader = self.tree(kind)
            functions = {}
            for name in list(loader):
                function = loader[name]
                functions[name] = dict(
                    signature(function), doc=inspect.getdoc(function) or ""
                )
            missing = {
                name: str(why) for name, why in loader.missing_modules.items() if why
            }
            told[kind] = {"functions": functions, "missing": missing}
        return told

    def grains(self, request):
        found, failed = dict(request["grains"]), {}
        mine = {}
        loader = self.tree("grains")
        for name in sorted(loader):
            function = loader[name]
            told = signature(function)
            names = [one[0] for one in told["by_position"] + told["by_name"]]
            given = {}
            if "grains" in names:
                given["grains"] = dict(found)
            if "proxy" in names:
                given["proxy"] = None
            try:
                answer = function(**given)
            except Exception as error:  # one that fails leaves the others alone
                failed[name] = "{}: {}".format(type(error).__name__, error)
                continue
            if isinstance(answer, dict):
                found.update(answer)
                mine.update(answer)
        return {"grains": mine, "failed": failed}

    def call(self, request):
        name = request["function"]
        function = self.tree("modules").get(name)
        if function is None:
            function = self.run(False).functions[name]
        return function(*request["args"], **request["kwargs"])

    def state(self, request):
        entry = self.run(request["test"]).call(request["low"])
        if isinstance(entry, dict):
            if "__run_num__" not in entry:
                # The return had the wrong shape; a wrong shape is what tells of it.
                changes = "'Changes'" in str(entry.get("comment"))
                return dict(entry, changes=None) if changes else None
            for key in ("__sls__", "__run_num__", "start_time", "duration", "__id__"):
                entry.pop(key, None)
        return entry

    def aggregate(self, request):
        function = self.run(request["test"]).states[request["function"]]
        chunks = request["chunks"]
        low = function(request["low"], chunks, {})
        return {"low": low, "chunks": chunks}

    def init(self, request):
        return bool(self.run(request["test"]).states[request["function"]](request["low"]))


def trace(error, directory):
    """The traceback from the tree's own code on."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [at for at, frame in enumerate(frames) if frame.filename.startswith(directory)]
    frames = frames[own[0]:] if own else []
    lines = ["Traceback (most recent call last):\n"]
    lines += traceback.format_list(frames)
    lines += traceback.format_exception_only(type(error), error)
    text = "".join(lines)
    for kind in KINDS:
        place = os.path.join(directory, "extmods", kind) + "/"
        text = text.replace(place, "salt://_" + kind + "/")
    return text


def main():
    bridge = None
    directory = ""
    for line in requests:
        try:
            request = unpacked(json.loads(line))
            do = request["do"]
            if do == "start":
                directory = request["directory"]
                bridge = Bridge(request)
                answer = True
            elif do == "know":
                bridge.know(request)
                answer = True
            elif do in ("catalog", "grains", "call", "state", "aggregate", "init"):
                answer = getattr(bridge, do)(request)
            else:
                raise ValueError("unknown request")
            reply = {"ok": packed(answer)}
        except (Exception, SystemExit) as error:
            reply = {
                "error": {
                    "type": type(error).__name__,
                    "text": str(error),
                    "trace": trace(error, directory or "/nowhere"),
                }
            }
        text = json.dumps(reply, ensure_ascii=False)
        answers.write(text.encode("utf-8", "replace") + b"\n")
        answers.flush()
    if directory:
        shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


main()
