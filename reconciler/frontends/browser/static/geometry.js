// Where lines begin and end. Pure.

export const plus = ([a, b], [c, d]) => [a + c, b + d];
export const scaled = ([a, b], by) => [a * by, b * by];

export function direction([ax, ay], [bx, by]) {
  const length = Math.hypot(bx - ax, by - ay) || 1;
  return [(bx - ax) / length, (by - ay) / length];
}

const APART = 9;

// Where the line from the centre of a box leaves it, and a little further.
function beyondBox(inside, towards, width, height) {
  const [x, y] = direction(inside, towards);
  const across = x ? (width / 2 + 4) / Math.abs(x) : Infinity;
  const down = y ? (height / 2 + 4) / Math.abs(y) : Infinity;
  return plus(inside, scaled([x, y], Math.min(across, down)));
}

// The ends of a line between two boxes; beside the line of the other direction, unless it is for both.
export function endsOf(sender, receiver, both, width, height) {
  const [x, y] = direction(sender, receiver);
  const aside = scaled([-y, x], both ? 0 : APART);
  const [from, to] = [plus(sender, aside), plus(receiver, aside)];
  return [beyondBox(from, to, width, height), beyondBox(to, from, width, height)];
}

// On which side of a line a point is.
export const leftOf = ([ax, ay], [bx, by], [x, y]) => (bx - ax) * (y - ay) - (by - ay) * (x - ax) < 0;

export function pointing([ax, ay], [bx, by]) {
  const turn = Math.round(Math.atan2(by - ay, bx - ax) / (Math.PI / 4));
  return "→↘↓↙←↖↑↗"[(turn + 8) % 8];
}

export function timeLeft(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min left`;
  return whole >= 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s left` : `${whole} s left`;
}
