"""A machine that heard nothing of its account's end: the next sign-in says so, shows what would go, asks, and begins anew."""

from __future__ import annotations

from tests.hosted.world import Person
from tests.sync.test_cli import PASSWORD, PATIENCE_S, Account, Machine, account, homes, pair, wait_for

__all__ = ["account", "homes", "pair"]
ENDED = "the account that these memories belonged to was deleted"


def end(me: Person) -> None:
    me.must("DELETE", "/account", {"confirm": me.email})


def ask(machine: Machine, person: Person) -> tuple[int, str]:
    """A sign-in that agrees to nothing."""
    return machine.fails(
        "login", "--url", machine.account.url, "--email", person.email, "--password-stdin", input=PASSWORD
    )


def filled(machine: Machine, me: Person) -> None:
    """Something of every kind, of which the account has what may leave."""
    machine.login(me)
    machine.jmem("add", "I prefer aisle seats")
    machine.jmem("add", "--local", "my diagnosis is marigold")
    gone = machine.jmem("add", "--quiet", "forgotten crocus").stdout.strip()
    machine.jmem("sync", "now")
    machine.jmem("rm", gone, "--purge", "--yes")
    machine.jmem("sync", "now")
    assert "aisle" in str(me.must("GET", "/memories"))


def begun_anew(machine: Machine, person: Person) -> None:
    """The next account has what may leave, and nothing else."""
    wait_for(lambda: "aisle" in str(person.must("GET", "/memories")), PATIENCE_S, "it goes to the next account")
    machine.jmem("add", "written since")
    wait_for(lambda: "written since" in str(person.must("GET", "/memories")), PATIENCE_S, "what is written then")
    person.add("from the page")
    machine.has("I prefer aisle seats", "my diagnosis is marigold", "written since", "from the page")
    feed = str(person.must("GET", "/sync/pull"))
    assert "marigold" not in feed
    assert "crocus" not in feed
    assert machine.jmem("sync", "verify").returncode == 0


def test_who_signed_out_before_the_end_is_told_of_it_and_asked(pair: list[Machine], account: Account) -> None:
    one = pair[0]
    me, next_me = account.world.person(), account.world.person()
    filled(one, me)
    one.jmem("logout")
    code, said = ask(one, next_me)
    assert (code, ENDED in said) == (6, False), "while it lives, these memories belong to it"
    code, said = one.fails(
        "login", "--url", account.url, "--email", next_me.email, "--password-stdin", "--yes", input=PASSWORD
    )
    assert (code, "belong to another account" in said) == (6, True)
    end(me)
    account.line.record = bytearray()
    code, said = ask(one, next_me)
    assert (code, ENDED in said, "1 memory (" in said, "1 private" in said, "--yes" in said) == (
        6,
        True,
        True,
        True,
        True,
    )
    assert b"aisle" not in account.line.record
    assert ENDED in one.login(next_me).stderr
    begun_anew(one, next_me)
    assert b"marigold" not in account.line.record
    assert b"crocus" not in account.line.record
    account.line.record = None


def test_a_sign_in_that_ended_with_its_account_is_no_reason_not_to_ask(pair: list[Machine], account: Account) -> None:
    one = pair[0]
    me, next_me = account.world.person(), account.world.person()
    filled(one, me)
    one.jmem("sync", "pause")  # so that nothing is heard of the end
    end(me)
    code, said = ask(one, next_me)
    assert (code, ENDED in said, "1 memory (" in said) == (6, True, True)
    assert one.sync()["account"] == str(me.user), "nothing was changed"
    assert ENDED in one.login(next_me).stderr
    one.jmem("sync", "resume")
    begun_anew(one, next_me)


def test_a_session_that_ends_with_its_account_says_that_it_was_deleted(pair: list[Machine], account: Account) -> None:
    one, me = pair[0], account.world.person()
    filled(one, me)
    one.home.stop()
    end(me)
    one.home.start()  # its access token is gone: only a refresh could tell, and nobody is there to give one
    one.texts()
    assert one.until("account_deleted")["account"] == ""
    assert "account\tnobody\n" in one.jmem("sync").stdout
    assert one.texts() == {"I prefer aisle seats", "my diagnosis is marigold"}


def test_an_api_key_of_the_next_account(pair: list[Machine], account: Account) -> None:
    one = pair[0]
    me, next_me = account.world.person(), account.world.person()
    key = next_me.must("POST", "/keys", {"name": "server"})["key"]
    filled(one, me)
    one.jmem("logout")
    code, said = one.fails("login", "--url", account.url, "--token-stdin", "--yes", input=key)
    assert (code, "belong to another account" in said) == (6, True)
    end(me)
    assert ENDED in one.jmem("login", "--url", account.url, "--token-stdin", "--yes", input=key).stderr
    begun_anew(one, next_me)
