"""Checks an export of the trail with nothing but Python's own library: python3 check_audit.py EXPORT [PROOF]

It recomputes the root at every checkpoint of a whole export, and checks the inclusion proof of one entry. Signatures are
not checked, since Python's library has no Ed25519: compare the checkpoints with signed ones, or use a tool for signed notes.
"""

import base64
import hashlib
import json
import sys


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    cut = 1 << (len(leaves) - 1).bit_length() - 1
    return node(root(leaves[:cut]), root(leaves[cut:]))


def leaf(entry):
    return hashlib.sha256(b"\x00" + base64.b64decode(entry, validate=True)).digest()


def check_export(lines):
    header, leaves = json.loads(next(lines)), []
    assert header["format"] == "crumb.audit/v1" and header["first"] == 0, "not a whole export"
    for line in map(json.loads, lines):
        if "entry" in line:
            leaves.append(leaf(line["entry"]))
        else:
            origin, size, signed = line["checkpoint"].split("\n")[:3]
            assert origin == header["origin"] and int(size) == len(leaves), "entries are missing or were added"
            assert base64.b64decode(signed) == root(leaves), f"the first {size} entries are not those that were signed"
            print(f"{size} entries have the root {signed}")


def check_proof(text):
    proof, checkpoint = text.split("\n\n", 1)
    _, extra, index, *path = proof.split("\n")
    size, signed = int(checkpoint.split("\n")[1]), checkpoint.split("\n")[2]
    here = leaf(json.loads(base64.b64decode(extra[len("extra ") :]))["entry"])
    at, last = int(index[len("index ") :]), size - 1
    for sibling in map(base64.b64decode, path):
        while at == last and at % 2 == 0 and at:
            at, last = at >> 1, last >> 1
        here = node(sibling, here) if at % 2 else node(here, sibling)
        at, last = at >> 1, last >> 1
    assert last == 0 and base64.b64decode(signed) == here, "the entry is not in the tree that was signed"
    print(f"{index} is in the tree with the root {signed}")


with open(sys.argv[1], encoding="utf-8") as export:
    check_export(export)
for name in sys.argv[2:]:
    check_proof(open(name, encoding="utf-8").read())
