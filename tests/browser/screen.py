"""A browser window: user actions, visible texts, and accessibility problems."""

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
DESKTOP = ViewportSize(width=1280, height=900)
PHONE = ViewportSize(width=390, height=844)

# Otherwise a violation of the policy would not be logged.
_LOG_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => console.error(
  "Against the policy:", event.violatedDirective, event.blockedURI, event.sample));
"""


class Screen:
    def __init__(self, context: BrowserContext) -> None:
        context.add_init_script(_LOG_VIOLATIONS)
        self.context = context
        self.page: Page = context.new_page()
        self.clicks = 0
        self.complaints: list[str] = []
        self.page.on("console", self._log)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    # --- User actions -----------------------------------------------------------------

    def open(self, address: str, *, status: int = 200) -> None:
        """Open a page; `status` is the expected HTTP status."""
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

    # --- Visible content --------------------------------------------------------------

    def sees(self, text: str) -> None:
        """Wait until the page shows a text."""
        expect(self.page.locator("main")).to_contain_text(text)

    def is_too_wide(self, of: str = "html") -> bool:
        """Return whether the page, or a part of it, has to be scrolled sideways."""
        return bool(
            self.page.locator(of).evaluate(
                "part => part.scrollWidth > part.clientWidth"
            )
        )

    def focused(self) -> str:
        """Return the accessible name of the focused element."""
        return str(
            self.page.evaluate(
                "(at => at.ariaLabel || at.labels?.[0]?.innerText || at.innerText)"
                "(document.activeElement)"
            )
        ).strip()

    # --- Problems ---------------------------------------------------------------------

    def barriers(self) -> list[str]:
        """Return the accessibility problems of the page, in light and dark, by axe-core."""
        self.page.evaluate(AXE_SCRIPT)
        self.page.emulate_media(color_scheme="dark")
        dark = self._barriers({"type": "rule", "values": ["color-contrast"]})
        self.page.emulate_media(color_scheme="light")
        return self._barriers({"type": "tag", "values": LEVELS}) + dark

    def forgive(self, what: str) -> None:
        """Remove expected complaints."""
        self.page.evaluate("0")  # all earlier messages have arrived after this call
        self.complaints = [
            complaint for complaint in self.complaints if what not in complaint
        ]

    def _barriers(self, rules: dict[str, Any]) -> list[str]:
        # `preload` would insert stylesheets into the page, which the policy forbids.
        options = {"runOnly": rules, "resultTypes": ["violations"], "preload": False}
        found = self.page.evaluate("options => axe.run(options)", options)
        return [
            f"{each['id']}: {node['html']:.200} {node['failureSummary']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    def _log(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)
