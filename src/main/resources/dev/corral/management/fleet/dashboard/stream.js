// Server-sent events by fetch instead of EventSource, which gives up permanently at an error status and does not report the status.

// Milliseconds. A sample arrives every second.
const SILENCE = 6_000;
const LONGEST_PAUSE = 15_000;

/**
 * Follows the stream as long as the page is open. Calls `on.event(name, data)` for each event, `on.live()` when events arrive again,
 * and `on.lost(why, pause)` before each pause when they do not.
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
      why = null; // The server limits the duration of a stream, and a replica may stop; the next connection may reach another one.
    } catch (error) {
      why = error.reason ?? 'the connection was lost';
    }
    failures++;
    const pause = failures === 1 ? 300 : Math.min(LONGEST_PAUSE, 1_000 * 2 ** (failures - 2));
    if (why || failures > 1) {
      on.lost(why ?? 'the stream ended immediately', pause);
    }
    await new Promise(resolve => setTimeout(resolve, pause * (0.75 + Math.random() / 2)));
  }
}

async function once(url, event) {
  const abort = new AbortController();
  let lastReceived = performance.now();
  const watch = setInterval(() => {
    if (performance.now() - lastReceived > SILENCE) {
      abort.abort(Object.assign(new Error('silence'), {reason: 'no data for some seconds'}));
    }
  }, 1_000);
  try {
    const response = await fetch(url, {headers: {Accept: 'text/event-stream'}, cache: 'no-store', signal: abort.signal});
    if (!response.ok) {
      throw Object.assign(new Error('refused'), {reason: await refusal(response)});
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parse = parser(event);
    for (;;) {
      const {done, value} = await reader.read();
      lastReceived = performance.now();
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
