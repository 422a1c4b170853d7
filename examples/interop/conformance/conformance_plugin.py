"""A pytest plugin that points Salt's functional tests at another `salt-call`.

They call execution and state functions through `saltfactories.utils.functional.Loaders`, in their own
process. Here the functions of the forwarded modules, and every state, are calls of a program instead:

    $SALT_CALL --local -c CONFDIR --out=json --log-level=quiet FUN [ARG ...] [NAME=VALUE ...]

It prints one JSON object, {"local": RETURN}. All other functions stay Salt's own, since the tests prepare
and inspect with them.

Environment:
    SALT_CALL                 the program (required)
    SALT_CONFORMANCE_FORWARD  comma-separated modules whose functions are forwarded (default: state)
    SALT_CONFORMANCE_CONFIG   a JSON mapping that is added to the minion's configuration
    SALT_CONFORMANCE_TIMEOUT  seconds for one call (default: 120)
"""

import json
import os
import pathlib
import subprocess

import pytest
import salt.config
import salt.exceptions
import salt.loader
import salt.utils.args
from saltfactories.utils import functional

FORWARD = tuple(os.environ.get("SALT_CONFORMANCE_FORWARD", "state").split(","))
TIMEOUT = float(os.environ.get("SALT_CONFORMANCE_TIMEOUT", "120"))
SALT_CALL = os.environ.get("SALT_CALL")
EXTRA = json.loads(os.environ.get("SALT_CONFORMANCE_CONFIG", "{}"))

SINGLE = ("state.low", "state.single", "state.sls_id")
MULTI = (
    "state.apply",
    "state.high",
    "state.highstate",
    "state.sls",
    "state.template",
    "state.template_str",
    "state.test",
    "state.top",
)
# Options that belong to the running test process and not to a minion's configuration.
PROCESS_OPTIONS = {
    "grains", "pillar", "conf_file", "optimization_order", "log_file", "__role", "__cli",
    "pytest-minion", "pytest-master", "saltversion", "sls_list", "jid", "fun", "raet_clear_buf",
}


def to_cli(value):
    """The command-line spelling of a value, which YAML reads back as the same value."""
    if isinstance(value, pathlib.PurePath):
        value = str(value)
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("a NUL byte cannot stand in an argument")
        # A keyword argument is recognised on its first line only, so a newline must be quoted.
        spellings = [json.dumps(value)] if "\n" in value else [value, json.dumps(value)]
        for spelling in spellings:
            if salt.utils.args.yamlify_arg(spelling) == value:
                return spelling
        pytest.skip("the command line has no spelling for this text (a newline and '#' together)")
    if isinstance(value, (list, tuple, set)):
        return json.dumps([plain(item) for item in value])
    if isinstance(value, dict):
        return json.dumps(plain(value))
    return json.dumps(value)


def plain(value):
    """A value of JSON's own types."""
    if isinstance(value, dict):
        return {str(key) if isinstance(key, pathlib.PurePath) else key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, pathlib.PurePath):
        return str(value)
    return value


class Foreign:
    """The foreign minion: a configuration directory and the program."""

    def __init__(self, opts):
        self.opts = opts
        self.directory = pathlib.Path(opts["root_dir"]) / "conformance-conf"
        self.directory.mkdir(parents=True, exist_ok=True)

    def write_config(self):
        defaults = salt.config.DEFAULT_MINION_OPTS
        config = {}
        for key, value in self.opts.items():
            if key in PROCESS_OPTIONS or key.startswith("__"):
                continue
            if key in defaults and defaults[key] == value:
                continue
            try:
                config[key] = json.loads(json.dumps(value))
            except (TypeError, ValueError):
                continue
        config.update(EXTRA)
        config["file_client"] = "local"
        config["id"] = self.opts["id"]
        (self.directory / "minion").write_text(json.dumps(config, indent=1))

    def call(self, fun, args, kwargs):
        if not SALT_CALL:
            raise RuntimeError("SALT_CALL names no program")
        self.write_config()
        command = [SALT_CALL, "--local", "-c", str(self.directory), "--out=json", "--log-level=quiet", fun]
        command += [to_cli(arg) for arg in args]
        command += [f"{name}={to_cli(value)}" for name, value in kwargs.items()]
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
        try:
            reply = json.loads(done.stdout)
        except ValueError:
            reply = None
        if isinstance(reply, dict) and "local" in reply:
            return reply["local"]
        text = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        error = salt.exceptions.CommandExecutionError
        if "Invalid" in text or "argument" in text:
            error = salt.exceptions.SaltInvocationError
        raise error(f"{fun} exited {done.returncode}: {text[-2000:]}")


class ForeignModule:
    def __init__(self, modules, name):
        self._modules, self._name = modules, name

    def __getattr__(self, fun):
        if fun.startswith("__"):
            raise AttributeError(fun)
        return self._modules[f"{self._name}.{fun}"]


class ForeignModules:
    """Salt's execution modules, those of the forwarded ones in the foreign program."""

    def __init__(self, real, opts):
        self._real, self._foreign = real, Foreign(opts)

    def __getattr__(self, name):
        if name in FORWARD:
            return ForeignModule(self, name)
        return getattr(self._real, name)

    def __getitem__(self, name):
        if name.partition(".")[0] not in FORWARD:
            return self._real[name]

        def call(*args, **kwargs):
            reply = self._foreign.call(name, args, kwargs)
            if name in SINGLE:
                return functional.StateResult(reply)
            if name in MULTI:
                return functional.MultiStateResult(reply)
            return reply

        return call

    def __contains__(self, name):
        return name in self._real

    def __iter__(self):
        return iter(self._real)

    def __len__(self):
        return len(self._real)

    def get(self, name, default=None):
        return self[name] if name in self else default


class ForeignState:
    def __init__(self, single, name):
        self._single, self._name = single, name

    def __getattr__(self, fun):
        if fun.startswith("__"):
            raise AttributeError(fun)
        return functional.StateFunction(self._single, f"{self._name}.{fun}")


class ForeignStates:
    """Every state, run by the foreign program; the names are those that Salt itself finds available."""

    def __init__(self, modules, names):
        self._single, self._names = modules["state.single"], names

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return ForeignState(self._single, name)

    def __getitem__(self, name):
        return functional.StateFunction(self._single, name)

    def __contains__(self, name):
        return True

    def __iter__(self):
        return iter(self._names())


_real_modules = functional.Loaders.modules.fget


def _modules(self):
    real = _real_modules(self)
    proxy = getattr(self, "_foreign_modules", None)
    if proxy is None or proxy._real is not real:
        proxy = self._foreign_modules = ForeignModules(real, self.opts)
    # the options may be replaced by a reload, or changed by a test
    proxy._foreign.opts = self.opts
    return proxy


def _states(self):
    def names():
        return list(salt.loader.states(self.opts, _real_modules(self), self.utils, self.serializers))

    return ForeignStates(self.modules, names)


functional.Loaders.modules = property(_modules)
functional.Loaders.states = property(_states)
