"""Which endpoints are meant: those that were named, or a domain's.

Source: etcd etcdctl/ctlv3/command/global.go (endpointsFromFlagValue), client/pkg/srv/srv.go.
"""

from __future__ import annotations

from trioetcd.cli.pflag import Parsed
from trioetcd.ctl.console import Console
from trioetcd.ctl.errors import CommandFailed, Exit
from wire.network import NetworkError

SERVICES = (("https", "etcd-client-ssl"), ("http", "etcd-client"))


async def endpoints_of(parsed: Parsed, console: Console) -> tuple[str, ...]:
    """Raises CommandFailed: the domain has no records."""
    domain = parsed.text("discovery-srv")
    if domain:
        found = await _discovered(parsed, domain, console)
    else:
        found = tuple(word.strip() for word in parsed.words("endpoints"))
    if found in ((), ("",)):
        raise CommandFailed("etcdclient: no available endpoints", Exit.BAD_CONNECTION)
    return found


async def _discovered(parsed: Parsed, domain: str, console: Console) -> tuple[str, ...]:
    """Of a domain; etcdctl takes --endpoints if none of them is secure enough, we do not."""
    from wire.names import SystemNames, UnknownName  # a resolver is seldom needed

    names = SystemNames()
    suffix = parsed.text("discovery-srv-name")
    found: list[str] = []
    failures: list[str] = []
    for scheme, service in SERVICES:
        service = f"{service}-{suffix}" if suffix else service
        try:
            targets = await names.services(f"_{service}._tcp.{domain}")
        except (UnknownName, NetworkError) as error:
            failures.append(str(error))
            continue
        found += [f"{scheme}://{target.host}:{target.port}" for target in targets]
    if len(failures) == len(SERVICES):
        raise CommandFailed(f"dns lookup errors: {' and '.join(failures)}")
    if parsed.is_on("insecure-discovery"):
        return tuple(found)
    for endpoint in found:
        if not endpoint.startswith("https://"):
            console.complain(f'ignoring discovered insecure endpoint "{endpoint}"')
    return tuple(one for one in found if one.startswith("https://"))
