"""What the graphics card does to a layer while it is compared with another: nothing is copied or computed."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, ref

from vispy.visuals import Visual
from vispy.visuals.filters import Filter
from vispy.visuals.shaders import Function, Varying

FIXED, WARPED = 0.0, 1.0
WHOLE, CHECKER, SWIPE, FLICKER, AWAY = 0.0, 1.0, 2.0, 3.0, 4.0

VERTEX = "void place() { $v_position = gl_Position; }"
# A tile, a side of the line or a turn belongs to one of the two layers; the other one is discarded there, and
# both where something else is seen in their place.
# Slices are divided where they lie in the world, volumes on the screen.
FRAGMENT = """
void look() {
    vec4 place = $to_scene($v_position);
    vec2 at = ($screen > 0.5 ? gl_FragCoord.xy : place.xy / place.w) - $origin;
    float thick = 1.5 * fwidth(at.x);
    float owner = $side;
    if ($rule == 1.0) {
        vec2 tile = floor(at / $tile);
        owner = mod(tile.x + tile.y, 2.0);
    } else if ($rule == 2.0) {
        owner = at.x < $line ? 0.0 : 1.0;
    } else if ($rule == 3.0) {
        owner = $turn;
    } else if ($rule == 4.0) {
        owner = 2.0;
    }
    if (abs(owner - $side) > 0.5) discard;
    if ($tint.a > 0.5) {
        vec3 seen = gl_FragColor.rgb;
        float grey = $colours > 0.5 ? dot(seen, vec3(0.299, 0.587, 0.114)) : max(max(seen.r, seen.g), seen.b);
        gl_FragColor.rgb = grey * $tint.rgb;
    }
    if ($rule == 2.0 && abs(at.x - $line) < thick) gl_FragColor = vec4(1.0, 0.85, 0.2, 1.0);
}
"""


_lenses: WeakKeyDictionary[Visual, Lens] = WeakKeyDictionary()


class Lens(Filter):
    """Shows a part of a layer, or all of it in one colour.

    Parameters
    ----------
    colours : bool
        Whether the layer is red, green and blue; else its brightest component is its intensity.
    """

    def __init__(self, colours: bool) -> None:
        super().__init__(
            vcode=Function(VERTEX),
            vhook="post",
            fcode=Function(FRAGMENT),
            fhook="post",
            fpos=20,
        )
        place = Varying("v_position", "vec4")
        self.vshader["v_position"] = self.fshader["v_position"] = place
        self.side = FIXED
        self._visual: ref[Visual] | None = None  # weak: the visual holds its lens
        self.fshader["colours"] = float(colours)
        self.set(
            side=FIXED,
            rule=WHOLE,
            screen=0.0,
            origin=(0.0, 0.0),
            tile=1.0,
            line=0.0,
            turn=0.0,
            tint=(0.0, 0.0, 0.0, 0.0),
        )

    def set(self, **values: Any) -> None:
        """Change some of side, rule, screen, origin, tile, line, turn and tint, and draw again."""
        self.side = values.get("side", self.side)
        for name, value in values.items():
            self.fshader[name] = value
        visual = None if self._visual is None else self._visual()
        if visual is not None:
            visual.update()

    def _attach(self, visual: Visual) -> None:
        super()._attach(visual)
        self.fshader["to_scene"] = visual.get_transform("render", "scene")
        self._visual = ref(visual)

    def _detach(self, visual: Visual) -> None:
        super()._detach(visual)
        self._visual = None


def lens_on(visual: Visual, colours: bool) -> Lens:
    """The lens of a visual, which stays on it: vispy would draw a second one with stale values.

    Parameters
    ----------
    visual : vispy Visual
    colours : bool
        As in `Lens`.
    """
    if visual not in _lenses:
        _lenses[visual] = Lens(colours)
        visual.attach(_lenses[visual])
    return _lenses[visual]
