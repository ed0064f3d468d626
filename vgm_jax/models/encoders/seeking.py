"""Where things are in a clip, before anything is learned: from what an encoder starts."""

import itertools

import jax
import jax.numpy as jnp

from vgm_jax.models.scene import EXACT, REACH, SIZE, pixel_centres, warp

FILLED = 0.6  # radius in halves of a canvas that an object has at first
GRAIN, FINE = 32, 64  # pixels a side, or some more, of the pictures in which things, and shifts, are sought
SMALL, APART = 0.15, 0.35  # in halves of a side: how sharply they are seen, and how far they keep others off
OWN = 0.2  # within which a pixel is one thing's rather than another's
ROUNDS = 6  # of moving to the middle of what is their own
MOST = 6  # things whose orders are all tried
TIE = 0.01  # likeness that is worth as much as the square of half a side between two places
GLANCE, WINDOW = 12, 0.45  # pixels a side, and halves of a side, of what is compared of them
OVERLAP = 0.3  # of two frames that are held against each other, at least
FAR = 0.05  # by how much a shift of a whole frame would have to match better than none


def saliency(frames: jax.Array, objects: int) -> jax.Array:
    """Where clips [B K H W C] differ most from their frames' mean colours, as free numbers of places
    [B*K objects 3], the same thing's at the same place of the list throughout a clip. No gradient.

    Centre and radius of pixels weighted by the sixth power of their difference, a global contrast (Achanta et
    al., "Frequency-tuned salient region detection", 2009, eq. 1); and the size of a canvas whose object would
    have that radius. Of several objects each has the pixels near to it, by soft k-means (MacKay, "Information
    Theory, Inference, and Learning Algorithms", 2003, sec. 20.2) from where there is most, then most but for
    there, and so on, what stands out most last. Which is which is told by how each looks, how large it is by
    where they are far apart. Raises ValueError for more objects than `MOST`.
    """
    frames = jax.lax.stop_gradient(frames)
    clips = frames.shape[:2]
    if objects > MOST:
        raise ValueError(
            f"model.generator.objects={objects}: at most {MOST} are sought where frames are salient"
        )
    flat = frames.reshape(-1, *frames.shape[2:])
    apart = flat - flat.mean((1, 2), keepdims=True)
    missed = jnp.sum(jnp.square(apart), -1)
    share = missed**3 + 1e-6
    if objects == 1:
        return places(share, jnp.ones((*share.shape, 1)))
    # What differs by more than is usual in the frame does so as much: no thing shall outshine the others.
    share = coarse(share / (share + missed.mean((1, 2), keepdims=True) ** 3))
    share = share / share.sum((1, 2), keepdims=True)
    middle = several(share, objects)
    order, best = alike(coarse(apart), middle, clips)
    found = places(share, owned(share, jnp.take_along_axis(middle, order[..., None], 1)))
    found = found.reshape(*clips, objects, 3)
    size = chosen(found, best)[:, None, :, 2:]
    found = jnp.concatenate([found[..., :2], jnp.broadcast_to(size, (*clips, objects, 1))], -1)
    return found.reshape(-1, objects, 3)


def places(share: jax.Array, owned: jax.Array) -> jax.Array:
    """Pixels' shares [N H W] and whose they are [N H W O] -> free numbers [N O 3] of places."""
    _, h, w = share.shape
    share = share[..., None] * owned
    share = share / jnp.maximum(share.sum((1, 2), keepdims=True), 1e-12)
    x, y = pixel_centres(w)[:, None], pixel_centres(h)[:, None, None]

    def mean(values):
        return jnp.sum(share * values, (1, 2))

    middle = jnp.stack([mean(x), mean(y)], -1)
    spread = mean(x**2) + mean(y**2) - jnp.sum(jnp.square(middle), -1)
    # A disc's radius is the root of twice its spread.
    size = jnp.log(FILLED / (SIZE[0] * jnp.sqrt(2.0 * spread + 1e-4))) / SIZE[1]
    place = jnp.concatenate([middle / REACH, size[..., None]], -1)
    return jnp.arctanh(jnp.clip(place, -0.97, 0.97))


def chosen(rows: jax.Array, index: jax.Array) -> jax.Array:
    """Of each clip's frames [B K ...] the one of that number [B]: [B ...]."""
    return jax.vmap(lambda rows, i: rows[i])(rows, index)


def coarse(images: jax.Array, grain: int = GRAIN) -> jax.Array:
    """Means [N h w ...] of squares of pixels of images [N H W ...]: some `grain` of them a side."""
    n, h, w, *rest = images.shape
    step = max(1, min(h, w) // grain)
    h, w = h // step, w // step
    return images[:, : h * step, : w * step].reshape(n, h, step, w, step, *rest).mean((2, 4))


def grid(h: int, w: int) -> jax.Array:
    """Coordinates [h w 2] of pixels, x and y."""
    x, y = jnp.meshgrid(pixel_centres(w), pixel_centres(h))
    return jnp.stack([x, y], -1)


def several(share: jax.Array, objects: int) -> jax.Array:
    """Pixels' shares [N h w] -> middles [N objects 2] of what there is most of, most of all last."""
    n, h, w = share.shape
    at = grid(h, w)
    lines = at[:, 0, 1], at[0, :, 0]
    rows, columns = (jnp.exp(-jnp.square(x[:, None] - x) / (2 * SMALL**2)) for x in lines)
    seen = jnp.einsum("yh,nhw,xw->nyx", rows, share, columns)
    middle = []
    for _ in range(objects):
        peak = at.reshape(-1, 2)[seen.reshape(n, -1).argmax(-1)]
        middle.append(peak)
        far = jnp.square(at - peak[:, None, None]).sum(-1)
        seen = seen * (1.0 - jnp.exp(-far / (2 * APART**2)))
    middle = jnp.stack(middle[::-1], 1)
    for _ in range(ROUNDS):
        own = share[..., None] * owned(share, middle)
        middle = jnp.einsum("nhwo,hwd->nod", own, at) / jnp.maximum(own.sum((1, 2)), 1e-12)[..., None]
    return middle


def owned(share: jax.Array, middle: jax.Array) -> jax.Array:
    """How much each pixel [N h w] is of what is in the middles [N O 2]: [N h w O], one altogether."""
    far = jnp.square(grid(*share.shape[1:])[..., None, :] - middle[:, None, None]).sum(-1)
    return jax.nn.softmax(-far / (2 * OWN**2), -1)


def alike(images: jax.Array, middle: jax.Array, clips: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """Which thing is which: images [B*K h w C], middles [B*K O 2] -> order [B*K O]; and a frame [B] of each.

    That in which things are farthest apart: each frame's are held against those there, by what is within a
    window about each, as it differs from the frame's mean; of things that look the same the nearest.
    """
    n, objects, _ = middle.shape
    maps = jnp.tile(jnp.asarray([[[WINDOW, 0.0], [0.0, WINDOW]]]), (n * objects, 1, 1))
    maps = jnp.concatenate([maps, middle.reshape(-1, 2, 1)], -1)
    seen = warp(jnp.repeat(images, objects, 0), maps, GLANCE)
    seen = seen.reshape(*clips, objects, -1)
    seen = seen * jax.lax.rsqrt(jnp.square(seen).sum(-1, keepdims=True) + 1e-6)
    apart = jnp.sqrt(jnp.square(middle[:, :, None] - middle[:, None]).sum(-1) + 10.0 * jnp.eye(objects))
    best = apart.min((1, 2)).reshape(clips).argmax(-1)
    middle = middle.reshape(*clips, objects, 2)
    like = jnp.einsum("bkio,bjo->bkij", seen, chosen(seen, best))
    like -= TIE * jnp.square(middle[:, :, :, None] - chosen(middle, best)[:, None, None]).sum(-1)
    orders = jnp.asarray(list(itertools.permutations(range(objects))))  # of a frame's things
    total = like[..., orders, jnp.arange(objects)].sum(-1)  # [B K orders]
    return orders[total.argmax(-1)].reshape(n, objects), best


def drift(frames: jax.Array) -> jax.Array:
    """By how much what clips [B K H W C] show is shifted from their middle frame, [B K 2], x and y, in halves
    of a side: where the normalised cross-correlation of grey pictures of some 64 pixels a side is greatest,
    each shift over what both frames show of it (Padfield, IEEE TIP 21(5), 2012, eq. 8). No gradient.
    """
    b, k, *size, _ = frames.shape
    grey = jax.lax.stop_gradient(frames).astype(jnp.float32).mean(-1)
    grey -= grey.mean((1, 2, 3), keepdims=True)  # else what is plain differs by what its squares round to
    x = coarse(grey.reshape(b * k, *size), FINE)
    n, m = x.shape[1:]
    x = x.reshape(b, k, n, m)

    def spectrum(x):
        return jnp.fft.rfft2(x, (2 * n, 2 * m))

    def correlate(first, second):
        return jnp.fft.irfft2(jnp.conj(first) * second, (2 * n, 2 * m))

    one, full = spectrum(jnp.ones((n, m))), spectrum(x)
    square, middle = spectrum(jnp.square(x)), full[:, k // 2, None]
    count = jnp.maximum(correlate(one, one), 1e-3)
    own, other = correlate(middle, one), correlate(one, full)
    both = correlate(middle, full) - own * other / count
    spread = correlate(square[:, k // 2, None], one) - jnp.square(own) / count
    spread *= correlate(one, square) - jnp.square(other) / count
    score = both * jax.lax.rsqrt(jnp.maximum(spread, 1e-4))
    at_y, at_x = (jnp.fft.fftfreq(2 * size, 1 / (2 * size)) for size in (n, m))
    far = jnp.sqrt(jnp.square(at_y)[:, None] / n**2 + jnp.square(at_x) / m**2)
    score = jnp.where(count >= OVERLAP * n * m, score - FAR * far, -1.0).reshape(b, k, -1)
    places = jnp.stack([jnp.tile(at_x, 2 * n), jnp.repeat(at_y, 2 * m)], -1)
    best = places[jnp.argmax(score, -1)]
    beside = jnp.abs(places - best[..., None, :]).max(-1) <= 1.0
    share = jax.nn.softmax(jnp.where(beside, 50.0 * score, -jnp.inf), -1)
    return jnp.matmul(share, places, precision=EXACT) * jnp.asarray([2 / m, 2 / n])
