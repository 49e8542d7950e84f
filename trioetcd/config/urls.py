"""Whether URLs can be listened on, and advertised, in etcd's words.

That they are URLs at all was seen when the flag was read.
Source: etcd server/embed/config.go (checkBindURLs, checkHostURLs).
"""

from __future__ import annotations

import ipaddress

from trioetcd.config.sources import ConfigError, Given
from wire.network import Address, BadURL, parse_url

LISTENERS = (
    "listen-peer-urls",
    "listen-client-urls",
    "listen-client-http-urls",
    "listen-metrics-urls",
)


def check_urls(given: Given) -> None:
    """Raises ConfigError."""
    for flag in LISTENERS:
        for url in given.get(flag):
            _check_bindable(url)
    _check_advertised(given, "initial-advertise-peer-urls", '"host:port"')
    _check_advertised(
        given,
        "advertise-client-urls",
        'in the format "host:port", "unix:/path/to/socket" or "unixs:/path/to/socket"',
    )


def check_client_urls(given: Given) -> None:
    """Raises ConfigError for an address that is to be served in two ways at once."""
    both = {str(parsed(url)) for url in given.get("listen-client-urls")}
    for url in given.get("listen-client-http-urls"):
        if str(parsed(url)) in both:
            raise ConfigError(
                "cannot bind both --listen-client-urls and --listen-client-http-urls "
                f"on the same url {url}"
            )


def _check_bindable(url: str) -> None:
    """A listener needs an address, not a name that may mean several."""
    address = parsed(url)
    if address.path or address.host == "localhost":
        return
    try:
        ipaddress.ip_address(address.host.partition("%")[0])
    except ValueError:
        raise ConfigError(f"expected IP in URL for binding ({url})") from None


def _check_advertised(given: Given, flag: str, form: str) -> None:
    urls = given.get(flag)
    for url in urls:
        address = parsed(url)
        if not address.path and not address.host:
            raise ConfigError(
                f'--{flag} "{",".join(urls)}" must be {form} (unexpected empty host ({url}))'
            )


def parsed(url: str) -> Address:
    try:
        return parse_url(url)
    except BadURL as error:
        raise ConfigError(str(error)) from error
