"""The page in a real browser."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from served import cluster, stated

from benchmarks.service import Connection, Server, drawn, fleet, placing
from optalloc.instance.files import dump_instance

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402  (it may not be there)
from selenium.webdriver.common.keys import Keys  # noqa: E402  (it may not be there)
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

pytestmark = pytest.mark.real

WAIT_S = 60
MARKUP = "<img src=x onerror=\"document.body.dataset.hacked='yes'\">"
PROGRAMS = {"chromium": ("chromium", "google-chrome", "chrome"), "driver": ("chromedriver",)}


def program(kind: str) -> str:
    for name in PROGRAMS[kind]:
        if found := shutil.which(name):
            return found
    pytest.skip("no browser to drive; on Debian: apt install chromium chromium-driver")


class Browser:
    """A browser without a screen, and what it loaded and said."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = program("chromium")
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
            options.add_argument(flag)
        options.add_argument("--window-size=1280,1000")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(program("driver"))
        self.driver = webdriver.Chrome(options=options, service=service)

    def open(self, port: int, tokens: bool = False) -> None:
        """Show the page; each server has a port, and so a storage, of its own."""
        self.logs()
        self.driver.get(f"http://127.0.0.1:{port}/")
        if not tokens:
            self.until("return document.getElementById('map').dataset.cells")

    def run(self, script: str, *given: Any) -> Any:
        return self.driver.execute_script(script, *given)

    def until(self, script: str, *given: Any) -> Any:
        """Wait until a script says something true."""
        said = WebDriverWait(self.driver, WAIT_S, poll_frequency=0.05)
        return said.until(lambda _: self.run(script, *given))

    def find(self, css: str) -> Any:
        return self.driver.find_element("css selector", css)

    def text(self, css: str) -> str:
        said: str = self.run("return document.querySelector(arguments[0]).textContent", css)
        return said

    def choose(self, css: str, value: str) -> None:
        self.run(
            "const s = document.querySelector(arguments[0]); s.value = arguments[1];"
            "s.dispatchEvent(new Event('change'))",
            css,
            value,
        )

    def logs(self) -> tuple[list[str], list[str]]:
        """What the page complained of, and addresses that it asked, since the last call."""
        said = [line["message"] for line in self.driver.get_log("browser")]
        asked = []
        for line in self.driver.get_log("performance"):
            message = json.loads(line["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
        return said, asked

    def colours(self, *names: str) -> list[list[int]]:
        """What the map paints in the middle of the cells of some nodes or domains."""
        return self.driver.execute_async_script(  # type: ignore[no-any-return]
            """
            const [names, done] = arguments;
            import('/page/main.js').then(({ map }) => {
              const copy = document.createElement('canvas');
              Object.assign(copy, { width: map.canvas.width, height: map.canvas.height });
              const paint = copy.getContext('2d', { willReadFrequently: true });
              paint.drawImage(map.canvas, 0, 0);
              const scale = map.canvas.width / map.width;
              done(names.map((name) => {
                const k = map.cells.findIndex((cell) => cell.name === name);
                const middle = (map.size - 2) / 3;
                const x = (map.xs[k] + middle) * scale, y = (map.ys[k] + middle * 1.5) * scale;
                return [...paint.getImageData(x, y, 1, 1).data].slice(0, 3);
              }));
            });
            """,
            list(names),
        )

    def scale(self) -> list[list[int]]:
        """The colours of the legend, from nothing to full."""
        return self.run(  # type: ignore[no-any-return]
            "return [...document.querySelectorAll('.ramp i')].map((i) =>"
            "getComputedStyle(i).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number))"
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    made = Browser()
    yield made
    made.driver.quit()


@contextmanager
def served(folder: Path, instance: Any, *options: str) -> Iterator[Server]:
    file = folder / "instance.json"
    dump_instance(instance, file)
    server = Server(file, folder / "j", *options)
    try:
        yield server
    finally:
        assert server.stop() == 0


def post(server: Server, path: str, body: Any) -> Any:
    with Connection(server.port) as link:
        status, text = link.ask("POST", path, json.dumps(body).encode())
    assert status == 200, text
    return json.loads(text)


def test_it_loads_without_errors_and_asks_no_other_host(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, cluster()) as server:
        post(server, "/v1/place", {"tasks": [stated("a"), stated("b", demand={"cpu": 99})]})
        browser.open(server.port)
        browser.until("return document.querySelectorAll('#charts path').length >= 4")
        browser.until("return document.querySelectorAll('#decided tr').length === 2")
        said, asked = browser.logs()
        assert said == []
        assert {url.split("/")[2] for url in asked} == {f"127.0.0.1:{server.port}"}
        assert browser.text("#tiles").startswith("Tasks running1Nodes4")


def test_the_map_shows_use_and_power_and_what_is_closed(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, cluster()) as server:
        post(server, "/v1/nodes/close", {"nodes": ["rack1/n2"]})
        browser.open(server.port)
        nodes = [f"rack{i // 2}/n{i}" for i in range(4)]
        scale = browser.scale()
        assert len({tuple(colour) for colour in scale}) == 8
        assert browser.colours("rack0/n0", "rack0/n1") == [scale[0]] * 2
        body = {"tasks": [stated("full", demand={"cpu": 16}), stated("half", demand={"cpu": 8})]}
        made = post(server, "/v1/place", body)["decisions"]
        where = {decision["task"]: next(iter(decision["nodes"])) for decision in made}
        browser.until("return document.querySelector('#tiles dd').textContent === '2'")
        empty = next(n for n in nodes[:2] + nodes[3:] if n not in where.values())
        assert browser.colours(where["full"], where["half"], empty) == [
            scale[7],
            scale[4],
            scale[0],
        ]
        browser.choose("#colour", "power")
        watts = browser.scale()
        assert watts[7] not in scale
        full, nothing = browser.colours(where["full"], empty)
        assert nothing == watts[0]
        assert full in watts[1:]
        browser.choose("#colour", "r:device")
        assert browser.colours(where["full"]) == [scale[0]]
        browser.choose("#grain", "domain")
        assert browser.find("#map").get_attribute("data-cells") == "2"
        browser.choose("#colour", "use")
        rack = where["full"].partition("/")[0]
        assert browser.colours(rack)[0] in scale[1:]
        browser.find("#find").send_keys("rack1/n2", Keys.ENTER)
        browser.until("return document.querySelector('#node .tag.closed')")
        assert browser.find("#map").get_attribute("data-cells") == "2"
        assert browser.find("#trail").is_displayed()
        assert browser.logs()[0] == []


def test_the_pointer_tells_and_shows(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, cluster()) as server:
        post(server, "/v1/place", {"tasks": [stated("a", replicas=4, demand={"cpu": 16})]})
        browser.open(server.port)
        browser.until("return document.querySelector('#tiles dd').textContent === '1'")
        browser.choose("#grain", "domain")
        pointer = ActionChains(browser.driver)
        half = browser.find("#map").size
        corner = (6 - half["width"] // 2, 6 - half["height"] // 2)
        pointer.move_to_element_with_offset(browser.find("#map"), *corner).perform()
        assert "rack0: 2 nodes\n" in browser.text("#tip")
        assert "cpu: 100 % of 32" in browser.text("#tip")
        pointer.click().perform()
        assert browser.find("#map").get_attribute("data-cells") == "2"
        assert "rack0" in browser.text("#where")
        half = browser.find("#map").size
        corner = (6 - half["width"] // 2, 6 - half["height"] // 2)
        pointer.move_to_element_with_offset(browser.find("#map"), *corner).click().perform()
        browser.until("return document.querySelector('#node .name')?.textContent === 'rack0/n0'")
        browser.find("#back").click()
        assert not browser.find("#trail").is_displayed()


def test_nodes_that_join_appear(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, cluster()) as server:
        browser.open(server.port)
        node = {"name": "new", "capacity": {"cpu": 2}, "domains": {"rack": "rack9"}}
        post(server, "/v1/nodes", {"nodes": [node]})
        browser.until("return document.getElementById('map').dataset.cells === '5'")
        browser.find("#find").send_keys("new", Keys.ENTER)
        browser.until("return document.querySelector('#node .name')?.textContent === 'new'")
        post(server, "/v1/nodes/remove", {"nodes": ["new"]})
        browser.until("return document.getElementById('map').dataset.cells === '4'")
        assert browser.text("#status").startswith("Version")


def test_the_keyboard_is_enough(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, cluster()) as server:
        post(server, "/v1/place", {"tasks": [stated("a", demand={"cpu": 4, "device": 2})]})
        browser.open(server.port)
        browser.run("document.getElementById('map').focus()")
        active = browser.driver.switch_to.active_element
        assert "rack0/n0" in browser.text("#map-said")
        active.send_keys(Keys.ARROW_RIGHT)
        assert "rack0/n1" in browser.text("#map-said")
        active.send_keys(Keys.END)
        assert "rack1/n3" in browser.text("#map-said")
        active.send_keys(Keys.HOME, Keys.ENTER)
        browser.until("return document.querySelector('#node .name')?.textContent === 'rack0/n0'")


def test_a_node_shows_what_runs_on_it(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, cluster()) as server:
        body = {"tasks": [stated(MARKUP, demand={"cpu": 4, "device": 1.0})]}
        (node,) = post(server, "/v1/place", body)["decisions"][0]["nodes"]
        browser.open(server.port)
        browser.find("#find").send_keys(node, Keys.ENTER)
        browser.until("return document.querySelector('#node .name')")
        said = browser.text("#node-body")
        assert MARKUP in said
        assert "0: taken" in said
        assert "1: free" in said
        assert "cpu1216" in said
        post(server, "/v1/release", {"tasks": [MARKUP]})
        browser.until("return document.querySelector('#node-body').textContent.includes('0 tasks')")


def test_names_are_text(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, cluster()) as server:
        task = stated(MARKUP, demand={"cpu": 99})
        post(server, "/v1/place", {"tasks": [stated(MARKUP + "1"), task]})
        browser.open(server.port)
        browser.until("return document.querySelectorAll('#decided tr').length === 2")
        browser.find("#decided button").click()
        browser.until("return document.querySelector('#answer [data-answer]')")
        assert MARKUP in browser.text("#decided")
        assert MARKUP in browser.text("#answer")
        asked = json.dumps({"name": "q", "demand": {"cpu": 16}, "replicas": 4})
        browser.run("document.getElementById('json').value = arguments[0]", asked)
        browser.find("#question button").click()
        browser.until("return document.querySelector('#answer').textContent.includes('release')")
        assert f"release {MARKUP}1" in browser.text("#answer [data-remedies]")
        assert browser.run("return document.querySelectorAll('img').length") == 0
        assert browser.run("return document.body.dataset.hacked") is None
        assert browser.logs()[0] == []


def test_a_refusal_says_why_then_and_now(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, cluster()) as server:
        post(server, "/v1/place", {"tasks": [stated("old", replicas=4, demand={"cpu": 16})]})
        post(server, "/v1/place", {"tasks": [stated("new", demand={"cpu": 4})]})
        browser.open(server.port)
        browser.choose("#outcome", "refused")
        browser.until("return document.querySelectorAll('#decided tr').length === 1")
        browser.find("#decided button").click()
        browser.until("return document.querySelector('#answer [data-answer=refused]')")
        said = browser.text("#answer")
        assert "4 nodes: 4 cpu short (need 4, largest free 0)" in said
        assert "44 cpu short (need 4, largest free 0)rack0/n0, rack0/n1" in said
        assert browser.text("#answer [data-remedies]").startswith("release old")
        post(server, "/v1/release", {"tasks": ["old"]})
        browser.find("#decided button").click()
        browser.until("return document.querySelector('#answer [data-answer=fits]')")


def test_a_question_from_the_form(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, cluster()) as server:
        browser.open(server.port)
        for css, value in {"cpu": "16", "device": "3"}.items():
            field = browser.find(f"[data-resource={css}]")
            field.clear()
            field.send_keys(value)
        browser.find("[data-replicas]").send_keys(Keys.END, Keys.BACKSPACE, "5")
        browser.find("#question button").click()
        browser.until("return document.querySelector('#answer [data-answer=refused]')")
        assert "room for 4 of its 5 replicas" in browser.text("#answer")
        browser.find("[data-replicas]").send_keys(Keys.END, Keys.BACKSPACE, "4")
        browser.find("#question button").click()
        browser.until("return document.querySelector('#answer [data-answer=fits]')")
        browser.run("document.getElementById('json').value = '{'")
        browser.find("#question button").click()
        browser.until("return document.querySelector('#answer .error')")
        assert "Expected JSON" in browser.text("#answer")
        wrong = json.dumps({"name": "a", "demand": {"x": 1}})
        browser.run("document.getElementById('json').value = arguments[0]", wrong)
        browser.find("#question button").click()
        browser.until("return document.querySelector('#answer').textContent.includes('demand.x')")
        with Connection(server.port) as link:
            assert json.loads(link.ask("GET", "/v1/state")[1])["tasks"] == 0


def test_a_token_is_asked_for_and_kept_in_the_tab(browser: Browser, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("read reader-0123456789\n")
    with served(tmp_path, cluster(), "--tokens", str(tokens)) as server:
        browser.open(server.port, tokens=True)
        browser.until("return document.getElementById('door').open")
        assert browser.text("#tiles") == ""
        browser.find("#token").send_keys("wrong-0123456789abc", Keys.ENTER)
        browser.until("return document.getElementById('door-said').textContent.includes('know')")
        browser.until("return document.getElementById('door').open")
        browser.find("#token").send_keys("reader-0123456789", Keys.ENTER)
        browser.until("return document.getElementById('map').dataset.cells === '4'")
        browser.driver.refresh()
        browser.until("return document.getElementById('map').dataset.cells === '4'")
        assert not browser.run("return document.getElementById('door').open")
        assert browser.run("return localStorage.length + document.cookie.length") == 0
        assert "reader-0123456789" not in "".join(browser.logs()[1])
        browser.find("#forget").click()
        browser.until("return document.getElementById('door').open")


def test_it_says_when_the_service_is_gone(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, cluster()) as server:
        browser.open(server.port)
    browser.until("return document.querySelector('#status.wrong')")
    assert "cannot be reached" in browser.text("#status")


def test_ten_thousand_nodes_are_drawn_as_racks_or_one_by_one(
    browser: Browser, tmp_path: Path
) -> None:
    with served(tmp_path, fleet(10_000)) as server:
        rng = random.Random(0)
        for k in range(20):
            with Connection(server.port) as link:
                link.ask("POST", "/v1/place", placing(drawn(rng, f"t{k}", gang=k % 4 == 0)))
        browser.open(server.port)
        assert browser.find("#map").get_attribute("data-cells") == "625"
        browser.choose("#grain", "node")
        assert browser.find("#map").get_attribute("data-cells") == "10000"
        painted = browser.run(
            """
            const map = document.getElementById('map');
            const { width, height } = map;
            const { data } = map.getContext('2d').getImageData(0, 0, width, height);
            let painted = 0;
            for (let i = 3; i < data.length; i += 4) painted += data[i] > 0;
            return painted / (width * height);
            """
        )
        assert painted > 0.3
        browser.find("#find").send_keys("rack624/n15", Keys.ENTER)
        browser.until("return document.querySelector('#node .name')?.textContent === 'rack624/n15'")
        assert browser.logs()[0] == []


@pytest.mark.parametrize("width", [320, 390, 800])
def test_nothing_is_cut_off_on_a_narrow_screen(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    with served(tmp_path, cluster()) as server:
        task = stated("x" * 150, demand={"cpu": 99})
        post(server, "/v1/place", {"tasks": [stated("y" * 150), task]})
        how = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", how)
        try:
            browser.open(server.port)
            browser.until("return document.querySelectorAll('#decided tr').length === 2")
            browser.find("#decided button").click()
            browser.until("return document.querySelector('#answer [data-answer]')")
            assert browser.run("return document.documentElement.scrollWidth") <= width
        finally:
            browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_and_steps_of_colour_differ_in_lightness(
    browser: Browser, tmp_path: Path, theme: str
) -> None:
    """Contrast as WCAG counts it: 4.5 for text; each step is lighter, or darker, than the last."""
    with served(tmp_path, cluster()) as server:
        asked = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", asked)
        try:
            browser.open(server.port)
            tokens = ["text", "muted", "accent", "good", "bad", "card", "back", "cell"]
            tokens += [f"{ramp}-{k}" for ramp in ("use", "power") for k in range(8)]
            light = dict(zip(tokens, map(luminance, browser.run(READ, tokens)), strict=True))
        finally:
            browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    for name in ("text", "muted", "accent", "good", "bad"):
        for under in ("card", "back"):
            assert contrast(light[name], light[under]) >= 4.5, (name, under)
    assert contrast(light["cell"], light["card"]) >= 3
    for ramp in ("use", "power"):
        steps = [light[f"{ramp}-{k}"] for k in range(8)]
        assert steps in (sorted(steps), sorted(steps, reverse=True))
        assert all(contrast(a, b) > 1.15 for a, b in pairwise(steps))


READ = """
const style = getComputedStyle(document.documentElement);
return arguments[0].map((name) => style.getPropertyValue('--' + name).trim());
"""


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: float, b: float) -> float:
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)


def test_everything_that_can_be_used_has_a_name(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, cluster()) as server:
        post(server, "/v1/place", {"tasks": [stated("a", demand={"cpu": 99})]})
        browser.open(server.port)
        browser.until("return document.querySelectorAll('#decided button').length === 1")
        browser.until("return document.querySelectorAll('#charts figure').length")
        usable = "button, input, select, textarea, canvas, [role=img], [role=region], meter"
        found = browser.driver.find_elements("css selector", usable)
        shown = [element for element in found if element.is_displayed()]
        assert len(shown) > 15
        assert [e.get_attribute("outerHTML") for e in shown if not e.accessible_name] == []
