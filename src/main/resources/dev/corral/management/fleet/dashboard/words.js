// Formats numbers and times for people.

const whole = new Intl.NumberFormat('en', {maximumFractionDigits: 0});
const one = new Intl.NumberFormat('en', {minimumFractionDigits: 1, maximumFractionDigits: 1});
const upToTwo = new Intl.NumberFormat('en', {maximumFractionDigits: 2});
const two = new Intl.NumberFormat('en', {minimumFractionDigits: 2, maximumFractionDigits: 2});
const short = new Intl.NumberFormat('en', {notation: 'compact', maximumFractionDigits: 1});
const clockFace = new Intl.DateTimeFormat('en-GB', {hour: '2-digit', minute: '2-digit', second: '2-digit'});
const minuteHand = new Intl.DateTimeFormat('en-GB', {hour: '2-digit', minute: '2-digit'});

export const NOTHING = '–';

export function rate(value) {
  if (value === null) {
    return NOTHING;
  }
  return value === 0 ? '0' : value < 9.95 ? one.format(value) : whole.format(value);
}

/** For an axis: only as many digits as needed. */
export function tick(value) {
  return upToTwo.format(value);
}

export function count(value) {
  return value < 100_000 ? whole.format(value) : short.format(value);
}

export function ratio(value) {
  return value === null ? NOTHING : two.format(value);
}

/** Rounds down, so that 100 % means all: one failure in a thousand stays visible. */
export function percent(value) {
  if (value === null) {
    return NOTHING;
  }
  return value >= 1 ? '100 %' : `${one.format(Math.floor(value * 1_000) / 10)} %`;
}

export function millis(value) {
  if (value === null || value === undefined) {
    return NOTHING;
  }
  if (value >= 9_950) {
    return `${whole.format(value / 1_000)} s`;
  }
  if (value >= 995) {
    return `${one.format(value / 1_000)} s`;
  }
  if (value === 0) {
    return '0 ms';
  }
  return `${(value < 0.1 ? two : value < 9.95 ? one : whole).format(value)} ms`;
}

export function ago(value) {
  const seconds = Math.max(0, Math.round(value / 1_000));
  if (seconds < 60) {
    return `${seconds} s`;
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    return `${minutes} min`;
  }
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

export function clock(time) {
  return clockFace.format(time);
}

export function minute(time) {
  return minuteHand.format(time);
}

export function plural(number, thing) {
  return `${whole.format(number)} ${thing}${number === 1 ? '' : 's'}`;
}
