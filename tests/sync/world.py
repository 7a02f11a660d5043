"""Replicas and an account to try the protocol with, and what has to hold when all has settled (I1 to I9 of the protocol)."""

from __future__ import annotations

import uuid
from typing import Any

from jmem.core.model import Op
from jmem.core.opcheck import is_blank
from jmem.core.store.oplog import Sent
from sync.verify import verify
from tests.sync.faults import Tables, Time
from tests.sync.people import ME, People, Told
from tests.sync.replica import HELD_TAG, Replica, outbox_counts

__all__ = ["HELD_TAG", "ME", "Replica", "Tables", "Time", "World", "outbox_counts"]


class World(People):
    """People and their devices, and what has to hold of them."""

    # ---- what has to hold ---------------------------------------------------------------------

    def check_wire(self) -> None:
        """I9: nothing private was seen."""
        for replica in self.replicas:
            said = b"\n".join(replica.wire.sent)
            for text in replica.private:
                assert text.encode() not in said, f"I9: {text} of {replica.name} left it"
            replica.wire.sent.clear()

    def check_local(self) -> None:
        """What is local is marked so for ever, op by op."""
        for replica in self.replicas:
            rows = replica.query(
                "SELECT o.sent FROM ops o JOIN memories m ON m.id = o.memory_id WHERE m.privacy = 'local'"
            )
            assert all(sent == Sent.LOCAL for (sent,) in rows), (
                f"I9: an op of a local memory of {replica.name} may leave"
            )

    def settle(self) -> None:
        """The network works, clocks are right, no rule holds anything back: everybody exchanges until all is quiet."""
        while self.late:
            self.deliver(self.late[0])
        for replica in self.replicas:
            self.check_wire()
            self.let_go(replica)
            replica.jump(0)
            replica.restart()
        for _ in range(4):
            for replica in self.replicas:
                with replica.here():
                    replica.engine.exchange()

    def check(self) -> None:
        """Everything, once all is quiet."""
        self.check_wire()
        self.check_local()
        for account, told in self.told.items():
            feed = self.feed(account)
            devices = self.of(account)
            for replica in devices:
                counts = outbox_counts(replica)
                assert (counts["new"], counts["offered"], counts["held"]) == (0, 0, 0), f"the outbox drains: {counts}"
                assert replica.shared() == feed, f"I1: {replica.name} holds other ops than the account"
            assert len({replica.digest() for replica in devices}) <= 1, "I1: devices differ"
            for replica in devices:
                with replica.here():
                    verdict = verify(replica.user.store, replica.remote, replica.engine.exchange)
                assert verdict.as_dict()["equal"], f"{replica.name} and the account compare as different: {verdict}"
            self._check_rows(account, feed, devices)
            self._check_told(account, told, feed)

    def _check_told(self, account: uuid.UUID, told: Told, feed: dict[str, tuple[str, str]]) -> None:
        ops = [Op.parse(text) for _, text in feed.values()]
        gone = {op.id for op in ops if op.purge}
        whole = [op for op in ops if not is_blank(op)]
        assert len({op.nonce for op in whole}) == len(whole), "I3: one write of a person is more than one op"
        held = {op.nonce: op for op in whole}
        # what was forgotten before anybody else heard of it needs no purge there
        assert told.forgotten & {op.id for op in ops} <= gone, "I7: a purge is lost"
        for nonce, op in told.ops.items():
            if op.id in gone | told.forgotten:
                continue
            assert nonce in held, f"I2: lost a write that was told to be kept: {op}"
            assert held[nonce].set == op.set, "I2: a write is another one"
        for (name, _, id, what), nonces in told.rows.items():
            stamps = [held[nonce].stamp for nonce in nonces if nonce in held]
            assert stamps == sorted(stamps), f"I4: writes of {name} to {what} of {id} are in another order"
        here = {at.name: {op.nonce: op for op in (Op.parse(row[2]) for row in at.ops())} for at in self.of(account)}
        for nonce, (at, op) in told.stayed.items():
            if op.id in gone | told.ever_forgotten | told.emptied:
                continue
            kept = here[at.name].get(nonce)
            assert kept is not None, f"I2: {at.name} lost a write that stays there: {op}"
            assert kept.set == op.set, "I2: a write that stays is another one"
        assert gone <= told.ever_forgotten, "I7: forgotten though nobody said so"
        theirs = {nonce for other, one in self.told.items() if other != account for nonce in one.ops}
        assert not theirs & held.keys(), "I6: a write of another account"

    def _check_rows(self, account: uuid.UUID, feed: dict[str, tuple[str, str]], devices: list[Replica]) -> None:
        """I5 and I7 by a fold of its own, on the server and on each device; I8 of the words that are found."""
        ops = [Op.parse(text) for _, text in feed.values()]
        gone = {op.id for op in ops if op.purge}
        best: dict[str, dict[str, tuple[str, Any]]] = {}
        for op in ops:
            if op.id in gone:
                assert is_blank(op), "I7: a purge leaves nothing"
                continue
            for name, value in op.set.items():
                held = best.setdefault(op.id, {}).get(name)
                if held is None or op.stamp > held[0]:
                    best[op.id][name] = (op.stamp, value)
        want = {
            id: (fields["content"][1], tuple(fields.get("tags", ("", ()))[1]), bool(fields.get("deleted", ("", False))[1]))
            for id, fields in best.items() if "content" in fields
        }  # fmt: skip
        rows = self.tables.fetch(
            "SELECT id, content, deleted, tags FROM jmem.memories WHERE user_id = $1 AND NOT purged", account)  # fmt: skip
        assert {r["id"]: (r["content"], tuple(r["tags"]), r["deleted"]) for r in rows} == want, (
            "I5: rows of the account"
        )
        texts = {id: [op for op in ops if op.id == id and "content" in op.set] for id in want}
        named = {stamp for of_one in texts.values() for op in of_one for stamp in op.base}
        heads = {id: {op.set["content"] for op in of_one if op.stamp not in named} for id, of_one in texts.items()}
        apart = {id for id, said in heads.items() if len(said) > 1}
        found = self.http.get(f"{self.url}/api/v1/conflicts?limit=500", headers={"authorization": f"Bearer {account}"})
        told = {one["memory"]["id"] for one in found.json()["conflicts"]}
        assert told == {id for id in apart if not want[id][2]}, "I1: the account tells of other conflicts"
        for replica in devices:
            state = replica.state()
            assert {id: row[:3] for id, row in state.items()} == want, f"I5: {replica.name}"
            live = {id for (id,) in replica.query("SELECT id FROM memories WHERE NOT deleted")}
            noted = {id for (id,) in replica.query("SELECT c.id FROM conflicts c JOIN memories m ON m.id = c.id")}
            assert noted == apart, f"I1: {replica.name} notes other conflicts"
            words = {
                id for (id,) in replica.query("SELECT m.id FROM memory_fts f JOIN memories m ON m.rowid = f.rowid")
            }
            assert words == live, f"I8: {replica.name} finds other memories than it has"
