"""relay logs in at a real Postfix with Dovecot by each mechanism that Dovecot has, DIGEST-MD5 by libgsasl too."""

import subprocess

import pytest
from peers import DOVECOT_MECHANISMS, Dovecot, Postfix, missing
from postern import BUILD, Authority, message, wait_for

reason = missing("postfix", "dovecot")
ANNA, ROBOT = ("anna@example.org", "correct horse"), ("robot@example.net", "secret of it")


def has_gsasl():
    return "libgsasl" in subprocess.run(["ldd", BUILD / "libexec/postern/postern-relay"], check=True, text=True,
                                        stdout=subprocess.PIPE).stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("mechanisms")


@pytest.fixture(scope="module")
def authority(place):
    return Authority(place / "authority")


@pytest.fixture(scope="module")
def smarthost(place, authority):
    with Dovecot(place / "dovecot", dict([ROBOT]), [*DOVECOT_MECHANISMS, "DIGEST-MD5"]) as dovecot, \
            Postfix(place / "postfix", authority, dovecot.auth) as postfix:
        yield postfix


@pytest.mark.skipif(reason is not None, reason=reason or "")
@pytest.mark.parametrize("mechanism", [*DOVECOT_MECHANISMS, "DIGEST-MD5"])
def test_each_mechanism(make_server, authority, smarthost, mechanism):
    if mechanism == "DIGEST-MD5" and not has_gsasl():
        pytest.skip("built without libgsasl")
    user = f"u{mechanism.lower()}"
    server = make_server(start=False, users=dict([ANNA]), routes=f"""account smart {{
url = "smtp://localhost:{smarthost.starttls}"  user = "{ROBOT[0]}"  mechanisms = {{"{mechanism}"}} }}
route "*" {{ via = "account:smart" }}""")
    with open(server.authority.ca, "a", encoding="ascii") as bundle:
        bundle.write(authority.ca.read_text())
    server.add_user(*ANNA)
    server.run("account", "add", "smart", "--password-stdin", stdin=ROBOT[1] + "\n")
    server.start()
    with server.smtp(login=ANNA) as session:
        session.sendmail(ANNA[0], [f"{user}@example.net"], message(body="hello\r\n"))
    wait_for(lambda: smarthost.messages(user),
             lambda: f"the message\n{smarthost.log()[-2000:]}\n{server.log_text()[-3000:]}", 20)
    assert f"sasl_method={mechanism}, sasl_username={ROBOT[0]}" in smarthost.log()
    wait_for(lambda: f"mech={mechanism}" in [w for l in server.log_text().splitlines() if "result=delivered" in l
                                             for w in l.split()], lambda: f"the mechanism\n{server.log_text()}")
