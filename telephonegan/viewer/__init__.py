"""Games, attention maps, samplings and galleries as plain data, and the one page and script that show them.

`viewer.js` draws in a browser what `data` prepares: by itself in an exported page, and in a notebook as an anywidget.
"""

from telephonegan.viewer.data import frames_data, gallery_data, games_data, result_data, tell_apart
from telephonegan.viewer.page import SCRIPT, STYLE, game_page

__all__ = ["SCRIPT", "STYLE", "frames_data", "gallery_data", "game_page", "games_data", "result_data", "tell_apart"]
