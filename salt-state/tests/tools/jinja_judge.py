"""Renders templates with Python's Jinja 2, alone or as Salt sets it up.

Reads JSON lines {"id", "template", "context", "templates", "salt", "options"} from standard
input and writes JSON lines {"id", "text"} or {"id", "error": {"class", "message"}}.
Run it with a Python that has jinja2 and, for "salt": true, salt:

    python jinja_judge.py < cases.jsonl > answers.jsonl
"""

import json
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time

import jinja2
import jinja2.ext

ADDRESS = re.compile(r"0x[0-9a-f]{8,}")


def plain(case):
    options = dict(case.get("options") or {})
    undefined = {
        "strict": jinja2.StrictUndefined,
        "chainable": jinja2.ChainableUndefined,
        "debug": jinja2.DebugUndefined,
    }.get(options.pop("undefined", None), jinja2.Undefined)
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(case.get("templates") or {}),
        extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"],
        undefined=undefined,
        **options,
    )
    return environment.from_string(case["template"]).render(case.get("context") or {})


class Salt:
    """Salt's environment over a scratch file tree."""

    def __init__(self):
        import salt.config
        import salt.loader
        import salt.utils.templates

        logging.disable(logging.CRITICAL)
        self.templates = salt.utils.templates
        self.root = tempfile.mkdtemp(prefix="judge")
        self.opts = salt.config.DEFAULT_MINION_OPTS.copy()
        self.opts.update(
            id="minion.example.org",
            file_client="local",
            cachedir=os.path.join(self.root, "cache"),
            root_dir=self.root,
            file_roots={"base": [os.path.join(self.root, "tree")]},
            pillar_roots={"base": [os.path.join(self.root, "pillar")]},
            extension_modules=os.path.join(self.root, "ext"),
            saltenv="base",
            pillarenv=None,
            grains={"id": "minion.example.org", "os": "Debian"},
            pillar={},
            __role="minion",
        )

    def render(self, case):
        import salt.fileclient
        import salt.utils.jinja

        tree = self.opts["file_roots"]["base"][0]
        shutil.rmtree(tree, ignore_errors=True)
        shutil.rmtree(self.opts["cachedir"], ignore_errors=True)
        os.makedirs(tree)
        for name, text in (case.get("templates") or {}).items():
            path = os.path.join(tree, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8", newline="") as handle:
                handle.write(text)
        opts = dict(self.opts, **(case.get("options") or {}))
        context = {
            "opts": opts,
            "saltenv": "base",
            "sls": "s",
            "tplpath": os.path.join(tree, "s.sls"),
            "tplfile": "s.sls",
            "tpldir": ".",
            "tpldot": "",
            "salt": {},
            "grains": {"os": "Debian", "id": "minion.example.org"},
            "pillar": {},
        }
        context.update(case.get("context") or {})
        return self.templates.render_jinja_tmpl(
            case["template"], context, tmplpath=os.path.join(tree, "s.sls")
        )

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)


def late(signum, frame):
    raise TimeoutError("the judge gave up")


def main():
    salt = None
    os.environ["TZ"] = "UTC"
    time.tzset()
    signal.signal(signal.SIGALRM, late)
    sys.setrecursionlimit(2000)
    for line in sys.stdin:
        case = json.loads(line)
        signal.alarm(10)
        try:
            if case.get("salt"):
                salt = salt or Salt()
                text = salt.render(case)
            else:
                text = plain(case)
            answer = {"text": ADDRESS.sub("0x7f0000000000", text)}
        except Exception as error:  # every failure is an answer
            message = str(error)
            if salt:
                message = message.replace(salt.root, "@ROOT@")
            answer = {
                "error": {
                    "class": type(error).__name__,
                    "message": ADDRESS.sub("0x7f0000000000", message),
                }
            }
        signal.alarm(0)
        answer["id"] = case.get("id")
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    if salt:
        salt.close()


if __name__ == "__main__":
    main()
