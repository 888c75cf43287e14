// Server-sent events by fetch and not by EventSource, which gives up for good at a status it does not like and never says which
// it was.

// A sample comes every second.
const SILENCE = 6_000;
const LONGEST_PAUSE = 15_000;

/**
 * Follows the stream for as long as the page lives. `on.event(name, data)` for each event, `on.live()` once events come,
 * `on.lost(why, pause)` when they do not, before each pause.
 */
export async function follow(url, on) {
  let failures = 0;
  for (;;) {
    let why;
    try {
      await once(url, (name, data) => {
        if (failures > 0 || name === 'history') {
          failures = 0;
          on.live();
        }
        on.event(name, data);
      });
      why = null; // The server lets nobody look for ever, and a replica may stop: another answers.
    } catch (failed) {
      why = failed.told ?? 'the connection is gone';
    }
    failures++;
    const pause = failures === 1 ? 300 : Math.min(LONGEST_PAUSE, 1_000 * 2 ** (failures - 2));
    if (why || failures > 1) {
      on.lost(why ?? 'the stream ends as soon as it begins', pause);
    }
    await new Promise(later => setTimeout(later, pause * (0.75 + Math.random() / 2)));
  }
}

async function once(url, event) {
  const given = new AbortController();
  let heard = performance.now();
  const watch = setInterval(() => {
    if (performance.now() - heard > SILENCE) {
      given.abort(Object.assign(new Error('silence'), {told: 'nothing has been heard for some seconds'}));
    }
  }, 1_000);
  try {
    const response = await fetch(url, {headers: {Accept: 'text/event-stream'}, cache: 'no-store', signal: given.signal});
    if (!response.ok) {
      throw Object.assign(new Error('refused'), {told: await refusal(response)});
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parse = parser(event);
    for (;;) {
      const {done, value} = await reader.read();
      heard = performance.now();
      if (done) {
        return;
      }
      parse(value);
    }
  } finally {
    clearInterval(watch);
  }
}

async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  return `${response.status}: ${problem.detail ?? response.statusText}`;
}

function parser(event) {
  let rest = '';
  let name = 'message';
  let data = [];
  return text => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      if (line === '') {
        if (data.length) {
          event(name, data.join('\n'));
        }
        name = 'message';
        data = [];
      } else if (line.startsWith('event:')) {
        name = line.slice(6).trim();
      } else if (line.startsWith('data:')) {
        data.push(line.slice(5));
      }
    }
  };
}
