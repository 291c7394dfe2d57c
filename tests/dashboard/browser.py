"""Headless Chromium, driven over its own protocol: one page, what it says, and what it asks for."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import websocket

GUARD_SECONDS = 60.0  # a hang ends the suite; nothing else depends on time
CHROMIUM = os.environ.get('CHROMIUM', 'chromium')
ARGUMENTS = [
    '--headless=new',
    '--remote-debugging-port=0',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-dev-shm-usage',
    '--disable-gpu',
    '--hide-scrollbars',
    '--force-device-scale-factor=1',
    '--lang=en-GB',
]


class Failed(Exception):
    """The page is not as it should be."""


def eventually(what, question):
    """Asks until there is an answer that counts, and gives it."""
    deadline = time.monotonic() + GUARD_SECONDS
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise Failed(f'{what}: not within {GUARD_SECONDS:.0f} s')
        time.sleep(0.05)
    return answer


class Page:
    """The one page of a browser."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, timeout=GUARD_SECONDS, suppress_origin=True)
        self.number = 0
        self.complaints = []
        self.asked = []
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')

    def call(self, method, **parameters):
        """Has something done, and takes in what happens meanwhile."""
        self.number += 1
        number = self.number
        self.socket.send(json.dumps({'id': number, 'method': method, 'params': parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get('id') == number:
                if 'error' in message:
                    raise Failed(f'{method}: {message["error"]}')
                return message['result']
            self.note(message)

    def note(self, message):
        parameters = message.get('params', {})
        match message.get('method'):
            case 'Runtime.exceptionThrown':
                details = parameters['exceptionDetails']
                self.complaints.append(details.get('exception', {}).get('description', details['text']))
            case 'Log.entryAdded' if parameters['entry']['level'] == 'error':
                self.complaints.append(f'{parameters["entry"]["text"]} {parameters["entry"].get("url", "")}')
            case 'Network.requestWillBeSent':
                self.asked.append(parameters['request']['url'])
            case _:
                pass

    def open(self, url):
        self.call('Page.navigate', url=url)
        eventually('the page is read', lambda: self.run('document.readyState') == 'complete')

    def run(self, script):
        """The value of an expression in the page."""
        result = self.call('Runtime.evaluate', expression=script, returnByValue=True, awaitPromise=True)
        if 'exceptionDetails' in result:
            raise Failed(f'{script}: {result["exceptionDetails"]}')
        return result['result'].get('value')

    def text(self, selector):
        """What people read there; empty where nothing is."""
        return self.run(f'[...document.querySelectorAll({json.dumps(selector)})].map((one) => one.innerText).join("\\n")')

    def has(self, selector, text):
        """Waits until people read that there."""
        try:
            eventually(text, lambda: text in self.text(selector))
        except Failed as failed:
            raise Failed(f'{selector} does not say {text!r}: {self.text(selector)[:2000]!r}') from failed

    def press(self, name):
        """Presses the button of this name with the keyboard."""
        find = f'[...document.querySelectorAll("button")].find((one) => (one.ariaLabel || one.innerText) === {json.dumps(name)} && one.offsetParent)'
        eventually(f'there is a button {name!r}', lambda: self.run(f'Boolean({find})'))
        self.run(f'{find}.focus()')
        self.key('Enter', '\r')

    def key(self, name, text=None):
        code = {'Enter': 13, 'Tab': 9}.get(name, 0)
        fields = {'key': name, 'code': name, 'windowsVirtualKeyCode': code} | ({'text': text} if text else {})
        self.call('Input.dispatchKeyEvent', type='keyDown', **fields)
        self.call('Input.dispatchKeyEvent', type='keyUp', key=name, code=name, windowsVirtualKeyCode=code)

    def look(self, width, height, scheme='light'):
        """As a screen of this size, in light or dark."""
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}])

    def picture(self, path):
        data = self.call('Page.captureScreenshot', format='png')['data']
        Path(path).write_bytes(base64.b64decode(data))


@contextlib.contextmanager
def page():
    """A page of a browser of its own, without anything from before."""
    chromium = shutil.which(CHROMIUM)
    if chromium is None:
        raise Failed(f'{CHROMIUM} is missing')
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [chromium, *ARGUMENTS, f'--user-data-dir={profile}', 'about:blank']
        if os.geteuid() == 0:
            command.insert(1, '--no-sandbox')
        with open(Path(profile) / 'said.log', 'wb') as said:
            process = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        try:
            port_file = Path(profile) / 'DevToolsActivePort'
            lines = eventually('Chromium listens', lambda: port_file.exists() and port_file.read_text().split())
            with urlopen(f'http://127.0.0.1:{lines[0]}/json', timeout=GUARD_SECONDS) as answer:
                found = [one for one in json.load(answer) if one['type'] == 'page']
            yield Page(found[0]['webSocketDebuggerUrl'])
        finally:
            process.terminate()
            try:
                process.wait(GUARD_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
