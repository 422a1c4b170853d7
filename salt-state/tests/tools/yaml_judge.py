"""Generates YAML documents and records what Salt's loader makes of each.

    python yaml_judge.py SEED COUNT [CORPUS...] > documents.jsonl

Run it with a Python that has salt. Documents are of four kinds: states as people write them,
nested collections in every style, scalars at the edges of YAML 1.1's types, and mutations of all
of these and of the CORPUS files (bytes taken out, doubled, swapped, indented). Each line is
{"text", "value"}, {"text", "error"} for what YAML reports, or {"text", "other"} for an exception
of Python's own. The same seed and count give the same documents.

`cargo test` replays a recorded sample; YAML_DOCUMENTS=documents.jsonl replays another file.
"""

import base64
import json
import random
import sys
import warnings

warnings.simplefilter("ignore")

import salt.utils.yaml  # noqa: E402
import salt.renderers.yaml  # noqa: E402
import yaml  # noqa: E402

# The loader of SLS files.
salt.renderers.yaml.__opts__ = {}
LOADER = salt.renderers.yaml.get_yaml_loader("")

SCALARS = """0 1 -1 +1 007 0644 -0644 +0644 0o17 08 1_000 1__0 0x1F 0X1f 0xg 0b101 0b2 1:30 1:30:00 01:30 1:60 -1:30 190:20:30.15
1.0 1. .5 -.5 +.5 1e3 1.0e3 1.0e+3 1.5E-3 .inf -.INF +.Inf .nan .NaN .NAN 1_0.5 1:30.5 1.2.3 ~ null Null NULL nUll
true True TRUE tRue yes Yes YES no on On ON off OFF y n Y N 2001-12-14 2001-12-14T21:59:43.10-05:00 2001-1-1 = << - -- --- ... .
a b-c b:c b#c 'q' "q" 'it''s' "a\\tb" "\\x41" "\\u263A" "\\q" "\\ " 'a
"b @x `x %x !x &a *a !!str !!int !!float !!bool !!null !!binary |- >+ > | ? : , [ ] { } # key: x:y x: :x a:b {{x}} {%x%} é 世界 \U0001F30D
\u00a0 \u2028 \ufeff \x85 /etc/x C:\\x user@host 10.0.0.1 10.0.0.0/8 ::1 00:11:22:33:44:55 12e03 9223372036854775807
9223372036854775808 -9223372036854775809 1e400 0.1 1E5 685_230.15 0x_ 0b_ _1 1_ +.inf ++1 -_1 0.""".split()
TAGS = ["!!str", "!!int", "!!float", "!!bool", "!!null", "!!seq", "!!map", "!!set", "!!omap", "!!pairs", "!!binary", "!!timestamp",
        "!x", "!", "!!python/unicode", "!<tag:yaml.org,2002:str>", "!<!x>", "!a!b", "!!"]
PIECES = ["\n", "  ", " ", "\t", ": ", "- ", "? ", ", ", "#", " #", "'", '"', "[", "]", "{", "}", "&a ", "*a", "|", ">", "|2", ">-", "---\n", "...\n",
          "%YAML 1.1\n", "!!str ", "\r\n", "\r", "<<: ", "\u2028", "\ufeff", "é", "\x85", "\\", "%", "@", "`", ":", "-", "\n\n", "!", "~"]


class Writer:
    def __init__(self, rng):
        self.rng = rng
        self.anchors = 0

    def scalar(self):
        rng = self.rng
        text = rng.choice(SCALARS)
        kind = rng.random()
        if kind < 0.12:
            return "'" + text.replace("'", "''") + "'"
        if kind < 0.24:
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if kind < 0.3:
            return rng.choice(TAGS) + " " + text
        if kind < 0.34:
            return text + " " + rng.choice(SCALARS)
        return text

    def key(self):
        return self.rng.choice(["a", "b", "c", "name", "x y", "1", "yes", "'q'", '"r"', "0644", "1.0", "~", "é", "<<", "{a: b}", "[k]", "? a", "a"])

    def flow(self, depth):
        rng = self.rng
        if depth <= 0 or rng.random() < 0.5:
            return self.scalar() if rng.random() < 0.9 else ""
        parts = [self.flow(depth - 1) for _ in range(rng.randrange(4))]
        join = rng.choice([", ", ",", " ,", ",\n  "])
        if rng.random() < 0.5:
            return "[" + join.join(parts) + rng.choice(["", ","]) + "]"
        return "{" + join.join(self.key() + rng.choice([": ", ":", " : "]) + part for part in parts) + "}"

    def block_scalar(self, indent):
        rng = self.rng
        head = rng.choice("|>") + rng.choice(["", "-", "+", "2", "1-", "-1", " # c", "9", "0"])
        lines = [rng.choice(["", " ", "text", "  more", "a: b", "# no", "\tx", "- i", "é"]) for _ in range(rng.randrange(5))]
        return head + "\n" + "".join(" " * rng.choice([indent, indent, indent + 1, indent - 1 if indent else 0]) + line + "\n" for line in lines)

    def block(self, depth, indent):
        """Text that begins on a new line and ends with one."""
        rng = self.rng
        pad = " " * indent
        kind = rng.random()
        out = ""
        for _ in range(rng.randrange(1, 4)):
            prefix = pad + ("- " if kind < 0.4 else self.key() + ":" + rng.choice([" ", " ", "  ", "\t"]))
            if rng.random() < 0.1:
                self.anchors += 1
                prefix += f"&a{self.anchors} "
            if rng.random() < 0.06:
                prefix += f"*a{rng.randrange(1, 4)}"
                out += prefix + "\n"
                continue
            if rng.random() < 0.05:
                prefix += rng.choice(TAGS) + " "
            what = rng.random()
            if depth > 0 and what < 0.4:
                step = rng.choice([2, 2, 2, 4, 1, 0])
                if kind < 0.4 and rng.random() < 0.4:
                    body = self.block(depth - 1, indent + 2)
                    out += prefix + body[indent + 2:]
                else:
                    out += prefix.rstrip(" ") + "\n" + self.block(depth - 1, indent + step)
            elif what < 0.5:
                out += prefix + self.block_scalar(indent + 2)
            elif what < 0.65:
                out += prefix + self.flow(2) + "\n"
            elif what < 0.72:
                out += prefix + "word word\n" + pad + rng.choice(["  more\n", "more\n", "  # c\n", "\n  more\n"])
            else:
                out += prefix + self.scalar() + rng.choice(["", "", "", " # note", " ", "#x"]) + "\n"
        if rng.random() < 0.1:
            out += rng.choice(["\n", pad + "# comment\n", "   \n", "\t\n"])
        return out

    def states(self):
        rng = self.rng
        out = rng.choice(["", "# -*- coding: utf-8 -*-\n", "---\n", "include:\n  - a\n  - .b\n\n"])
        for number in range(rng.randrange(1, 4)):
            out += rng.choice([f"id{number}", f"/etc/{number}.conf", f"'q{number}'", "id0", f"{number}"]) + ":\n"
            out += "  " + rng.choice(["pkg.installed", "file.managed", "cmd.run", "service", "test.nop"]) + ":\n"
            for _ in range(rng.randrange(1, 5)):
                out += "    - " + rng.choice(["name", "mode", "user", "enable", "contents", "unless", "env"]) + ": " + rng.choice(
                    [self.scalar(), self.scalar(), self.flow(1), self.block_scalar(8).rstrip("\n"), '"a b"']) + "\n"
            if rng.random() < 0.4:
                out += "    - require:\n      - " + rng.choice(["pkg: x", "file: /etc/1.conf", "sls: a.b"]) + "\n"
        return out


def mutate(rng, text):
    for _ in range(rng.choice([1, 1, 1, 2, 3, 5])):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice([1, 1, 2, 3, 8, 20]))
        how = rng.random()
        if how < 0.3:
            text = text[:at] + text[end:]
        elif how < 0.7:
            text = text[:at] + rng.choice(PIECES) + text[at:]
        elif how < 0.8:
            text = text[:at] + text[at:end] + text[at:]
        elif how < 0.9:
            text = text[:at]
        else:
            lines = text.split("\n")
            line = rng.randrange(len(lines))
            lines[line] = rng.choice([" " + lines[line], "  " + lines[line], lines[line][1:], lines[line][2:], "\t" + lines[line]])
            text = "\n".join(lines)
    return text


def encode(value):
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else {"__float__": repr(value)}
    if value is None or isinstance(value, (bool, int)):
        return value if value is None or -(2**63) <= value < 2**64 else {"__float__": repr(float(value))}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return {"__bytes__": base64.b64encode(value).decode()}
    if isinstance(value, (set, frozenset)):
        return {"__pairs__": [[encode(key), None] for key in value]}
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value) and not (len(value) == 1 and next(iter(value)).startswith("__")):
            return {str(key): encode(item) for key, item in value.items()}
        return {"__pairs__": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    raise TypeError(type(value).__name__)


def record(text):
    try:
        value = encode(salt.utils.yaml.load(text, Loader=LOADER))
        json.dumps(value, allow_nan=False)
        return {"text": text, "value": value}
    except yaml.YAMLError as error:
        return {"text": text, "error": str(error)}
    except RecursionError:
        return None
    except Exception as error:  # pylint: disable=broad-except
        return {"text": text, "other": f"{type(error).__name__}: {error}"}


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    rng = random.Random(seed)
    corpus = []
    for path in sys.argv[3:]:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            corpus.append(file.read(20000))
    seen = set()
    while len(seen) < count:
        writer = Writer(rng)
        kind = rng.random()
        if corpus and kind < 0.25:
            text = rng.choice(corpus)
        elif kind < 0.4:
            text = rng.choice(["", "", "k: ", "- ", "["]) + writer.scalar()
        elif kind < 0.7:
            text = writer.block(rng.randrange(4), 0)
        else:
            text = writer.states()
        if rng.random() < 0.4:
            text = mutate(rng, text)
        if text in seen:
            continue
        row = record(text)
        if row is not None:
            seen.add(text)
            print(json.dumps(row))


if __name__ == "__main__":
    main()
