"""The dashboard, seen and used in a browser. Each test has a gateway with agents and an open page."""

import argparse
import contextlib
import sys
import tempfile
import time
import traceback
from pathlib import Path

import world
from browser import Failed, eventually, page
from world import HOSTILE, ROOT, Gateway, agent

IMAGES = ROOT / 'docs' / 'images'


@contextlib.contextmanager
def opened(admin='writes: all'):
    """A gateway with agents and traffic, and its dashboard in a page."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        agents = [stack.enter_context(agent()) for _ in range(3)]
        if 'tokenFile' in admin:
            (Path(directory) / 'token').write_text('0123456789abcdef')
        gateway = Gateway(directory, agents, admin.replace('DIRECTORY', directory))
        stack.callback(gateway.stop)
        gateway.start()
        shown = stack.enter_context(page())
        shown.look(1280, 900)
        shown.open(gateway.url('/dashboard'))
        yield gateway, shown


def no_complaint(shown):
    """Nothing broke, and no policy was violated. What is said of a gateway that is away on purpose is left out."""
    away = ('ERR_CONNECTION_REFUSED', 'ERR_INCOMPLETE_CHUNKED_ENCODING', 'ERR_CONNECTION_RESET', 'ERR_EMPTY_RESPONSE', '503')
    found = [one for one in shown.complaints if not any(word in one for word in away)]
    assert not found, found


def it_renders_and_asks_nobody_else():
    with opened() as (gateway, shown):
        shown.has('#status', 'ok')
        shown.has('#topology', 'research-canary 10 %')
        shown.has('#topology', 'planner')
        for _ in range(20):
            assert gateway.get('/research/hello') == 200
        shown.has('#rollouts', 'success-rate')
        shown.has('#configuration', 'is in force')
        places = {url.split('?')[0] for url in shown.asked if not url.startswith('data:')}
        assert places == {gateway.url(path) for path in ('/dashboard', '/history', '/live')}, places
        no_complaint(shown)


def it_follows_what_happens():
    with opened() as (gateway, shown):
        shown.has('#status', 'ok')
        assert gateway.get('/search/x') == 502
        search = '[...document.querySelectorAll("#errors details")].find((one) => one.innerText.includes("search"))'
        shown.has('#errors', '502 connect_failed')
        shown.has('#errors', 'search → broken')
        shown.run(f'{search}.querySelector("summary").click()')
        shown.has('#errors', '/search/x')
        with gateway.stream('/planner/stream'):
            eventually('a stream is shown', lambda: shown.run('[...document.querySelectorAll(".tiles div")].find((one) => one.innerText.startsWith("Streams")).innerText.includes("1")'))
        for _ in range(40):
            assert gateway.get('/planner/hello') == 200
        eventually('the rate is shown', lambda: shown.run('Number(document.querySelector(".tiles dd").innerText) > 0'))
        eventually('the plot has points', lambda: shown.run('document.querySelector("#overview polyline").getAttribute("points").length > 0'))
        eventually('details stay open', lambda: shown.run(f'{search}.open'))
        no_complaint(shown)


def what_agents_say_is_never_markup():
    with opened() as (gateway, shown):
        assert gateway.get('/research/.well-known/agent-card.json') == 200
        shown.has('#agents', HOSTILE)
        assert shown.run('document.querySelectorAll("main img, main script").length') == 0
        assert shown.run('window.broken === undefined')
        shown.press('Watch')
        eventually('it watches', lambda: shown.run('document.getElementById("watch").ariaPressed === "true"'))
        path = '/planner/%3Cimg%20src=x%20onerror=alert(1)%3E'
        seen = eventually('the request is shown', lambda: gateway.get(path) and 'onerror' in shown.text('#requests') and shown.text('#requests'))
        assert '%3Cimg' in seen, seen
        no_complaint(shown)


def a_canary_is_promoted_and_one_rolled_back():
    with opened() as (gateway, shown):
        phase = lambda route: gateway.shown('/rollouts')['routes'][route]['progress']['phase']
        shown.press('Promote research')
        assert shown.run('document.getElementById("ask").open')
        shown.press('Cancel')
        assert phase('research') == 'progressing'
        shown.press('Promote research')
        shown.press('Yes')
        shown.has('[data-route=research]', 'promoted')
        assert phase('research') == 'promoted'
        shown.press('Roll back planner')
        shown.press('Yes')
        shown.has('[data-route=planner]', 'rolled back')
        assert phase('planner') == 'rolled_back'
        shown.has('#notice', 'Done')
        for _ in range(20):
            assert gateway.get('/research/hello') == 200
        no_complaint(shown)


def an_endpoint_is_drained_and_taken_back():
    with opened() as (gateway, shown):
        address = gateway.shown('/clusters?cluster=research-stable')['clusters'][0]['endpoints'][0]['address']
        shown.press(f'Drain {address} of research-stable')
        shown.press('Yes')
        shown.has('#topology', 'draining')
        shown.press(f'Take back {address} of research-stable')
        eventually('it is back', lambda: 'draining' not in shown.text('#topology'))
        no_complaint(shown)


def it_survives_a_restart():
    with opened() as (gateway, shown):
        shown.has('#status', 'ok')
        shown.run('window.same = true')
        gateway.stop()
        shown.has('#status', 'not connected')
        shown.has('#topology', 'planner')
        gateway.start()
        shown.has('#status', 'ok')
        assert gateway.get('/search/after') == 502
        shown.has('#errors', '502 connect_failed')
        assert shown.run('window.same === true'), 'without being read again'
        no_complaint(shown)


def a_refused_configuration_is_shown():
    with opened() as (gateway, shown):
        shown.has('#configuration', 'is in force')
        gateway.reload(gateway.text.replace('prefix: /search', 'prefx: /search'))
        shown.has('#diagnostics', 'prefx')
        gateway.reload(gateway.text)
        no_complaint(shown)


def a_token_is_asked_for():
    with opened('tokenFile: DIRECTORY/token, writes: rollouts') as (gateway, shown):
        shown.has('#ask', 'asks for its token')
        shown.run('document.getElementById("ask-token").focus()')
        for letter in '0123456789abcdef':
            shown.key(letter, letter)
        shown.key('Enter', '\r')
        if shown.run('document.getElementById("ask").open'):
            shown.press('Go on')
        shown.has('#status', 'ok')
        assert 'Drain' not in shown.text('#topology'), 'these need all writes'
        assert '0123456789abcdef' not in shown.run('document.documentElement.outerHTML')


def it_is_for_keyboards_and_readers_and_small_screens():
    with opened() as (gateway, shown):
        shown.has('#rollouts', 'planner')
        shown.key('Tab')
        assert shown.run('document.activeElement.className') == 'skip', 'the first stop'
        shown.run('[...document.querySelectorAll("button")].find((one) => one.ariaLabel === "Promote planner").focus()')
        before = shown.run('document.querySelector("#overview").innerText')
        gateway.get('/planner/hello')
        eventually('the page has changed', lambda: shown.run('document.querySelector("#overview").innerText') != before)
        assert shown.run('document.activeElement.ariaLabel') == 'Promote planner', 'the keyboard stays where it was'
        nameless = shown.run('[...document.querySelectorAll("button,input,select,svg,table")].filter((one) => one.offsetParent && !(one.ariaLabel || one.innerText || one.closest("label") || one.querySelector("th"))).length')
        assert nameless == 0, nameless
        assert shown.run('[...document.querySelectorAll("section")].every((one) => document.getElementById(one.getAttribute("aria-labelledby")))')
        assert shown.run('document.getElementById("said").getAttribute("role")') == 'status'
        for width, scheme in ((390, 'light'), (390, 'dark'), (1280, 'dark')):
            shown.look(width, 800, scheme)
            assert shown.run('document.documentElement.scrollWidth <= window.innerWidth'), f'it is wider than {width}'
            assert contrast(shown) >= 4.5, (scheme, contrast(shown))
        no_complaint(shown)


def contrast(shown):
    """Of text and what is behind it, the least that is there (WCAG 2.2)."""
    return shown.run("""(() => {
        const style = getComputedStyle(document.documentElement);
        const canvas = new OffscreenCanvas(1, 1).getContext('2d');
        const light = (name) => {
            canvas.fillStyle = style.getPropertyValue(name);
            canvas.fillRect(0, 0, 1, 1);
            const linear = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((one) => one / 255).map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
        };
        const least = ['--text', '--dim', '--main', '--good', '--warn', '--bad'].flatMap((text) => ['--card', '--back'].map((back) => {
            const [one, other] = [light(text), light(back)].sort((a, b) => b - a);
            return (one + 0.05) / (other + 0.05);
        }));
        return Math.min(...least);
    })()""")


def screenshots():
    """The pictures of the documentation: a gateway that has had some traffic."""
    IMAGES.mkdir(exist_ok=True)
    with opened() as (gateway, shown), gateway.stream('/planner/stream'), gateway.stream('/research/stream'):
        gateway.get('/research/.well-known/agent-card.json')
        end = time.monotonic() + 25
        while time.monotonic() < end:
            for path in ('/research/hello', '/planner/hello', '/planner/hello', '/research/broken', '/search/x'):
                gateway.get(path)
            time.sleep(0.05)
        shown.has('#errors', 'connect_failed')
        for name, width, height, scheme in (('dashboard', 1280, 1000, 'light'), ('dashboard-dark', 1280, 1000, 'dark'), ('dashboard-phone', 390, 844, 'light')):
            shown.look(width, height, scheme)
            time.sleep(1.5)
            shown.picture(IMAGES / f'{name}.png')


TESTS = [
    it_renders_and_asks_nobody_else,
    it_follows_what_happens,
    what_agents_say_is_never_markup,
    a_canary_is_promoted_and_one_rolled_back,
    an_endpoint_is_drained_and_taken_back,
    it_survives_a_restart,
    a_refused_configuration_is_shown,
    a_token_is_asked_for,
    it_is_for_keyboards_and_readers_and_small_screens,
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only', metavar='TEXT', default='')
    parser.add_argument('--update', action='store_true', help='take the screenshots of the documentation anew')
    arguments = parser.parse_args()
    print(f'the gateway is {world.binary()}', flush=True)
    failed = 0
    chosen = [test for test in TESTS if arguments.only in test.__name__]
    for test in chosen + ([screenshots] if arguments.update else []):
        begun = time.monotonic()
        try:
            test()
            word = 'ok'
        except (AssertionError, Failed, OSError) as error:
            failed += 1
            word = 'FAILED'
            traceback.print_exception(error)
        print(f'{word:6} {test.__name__.replace("_", " ")} ({time.monotonic() - begun:.1f} s)', flush=True)
    if not chosen:
        print(f'no test has {arguments.only!r} in its name')
    sys.exit(1 if failed or not chosen else 0)


if __name__ == '__main__':
    main()
