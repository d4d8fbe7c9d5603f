"""A screen at which someone works: what they do there, and what is wrong with it."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Page,
    ViewportSize,
    expect,
)

LEVELS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
DESK = ViewportSize(width=1280, height=900)
PHONE = ViewportSize(width=390, height=844)

# What the page was kept from doing would else be known to nobody.
_TELL = """
document.addEventListener("securitypolicyviolation", (event) => console.error(
  "Against the policy:", event.violatedDirective, event.blockedURI, event.sample));
"""


class Screen:
    def __init__(self, context: BrowserContext) -> None:
        context.add_init_script(_TELL)
        self.context = context
        self.page: Page = context.new_page()
        self.clicks = 0
        self.complaints: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    # --- What one does ----------------------------------------------------------------

    def open(self, address: str, *, status: int = 200) -> None:
        """Go there; `status` is what is expected of it."""
        answer = self.page.goto(address)
        assert answer
        assert answer.status == status, address
        if status != 200:
            self.forgive(f"status of {status}")

    def press(self, button: str) -> None:
        self._click("button", button)

    def follow(self, link: str) -> None:
        self._click("link", link)

    def unfold(self, summary: str) -> None:
        self.page.locator("summary", has_text=summary).first.click()

    def write(self, label: str, text: str) -> None:
        self.page.get_by_label(label, exact=True).fill(text)

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def _click(self, role: Any, name: str) -> None:
        self.clicks += 1
        self.page.get_by_role(role, name=name, exact=True).first.click()

    # --- What one sees ----------------------------------------------------------------

    def sees(self, text: str) -> None:
        """Wait until it is there."""
        expect(self.page.locator("main")).to_contain_text(text)

    def is_too_wide(self, of: str = "html") -> bool:
        """Whether one would have to move the page, or a part of it, to see all of it."""
        return bool(
            self.page.locator(of).evaluate(
                "part => part.scrollWidth > part.clientWidth"
            )
        )

    def focused(self) -> str:
        """What the next key is for: its name as it is read aloud."""
        return str(
            self.page.evaluate(
                "(at => at.ariaLabel || at.labels?.[0]?.innerText || at.innerText)"
                "(document.activeElement)"
            )
        ).strip()

    # --- What is wrong ----------------------------------------------------------------

    def barriers(self) -> list[str]:
        """What keeps somebody from using the page by day or by night, by axe-core."""
        self.page.evaluate(AXE_SCRIPT)
        self.page.emulate_media(color_scheme="dark")
        dark = self._barriers({"type": "rule", "values": ["color-contrast"]})
        self.page.emulate_media(color_scheme="light")
        return self._barriers({"type": "tag", "values": LEVELS}) + dark

    def forgive(self, what: str) -> None:
        """Take back the complaints about what was meant to happen."""
        self.page.evaluate("0")  # after which all that was said before has arrived
        self.complaints = [said for said in self.complaints if what not in said]

    def _barriers(self, rules: dict[str, Any]) -> list[str]:
        # It would read stylesheets by writing into the page, which the policy forbids.
        options = {"runOnly": rules, "resultTypes": ["violations"], "preload": False}
        found = self.page.evaluate("options => axe.run(options)", options)
        return [
            f"{each['id']}: {node['html']:.200} {node['failureSummary']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)
