"""A browser without a window, for tests and pictures of the page."""

import shutil
import subprocess
from pathlib import Path

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def open_page(page: Path, profile: Path, *options: str, tensor: str = "") -> str:
    """Open a page; returns what the browser prints.

    Args:
        page: the HTML file.
        profile: a folder for the browser's own files.
        options: of the browser, such as --dump-dom.
        tensor: that is chosen; the page's own choice if empty.
    """
    if BROWSER is None:
        raise FileNotFoundError("neither Chromium nor Chrome is installed")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--window-size=1400,1000", "--virtual-time-budget=4000", *options]
    command.append(f"{page.as_uri()}{tensor and '#' + tensor}")
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
