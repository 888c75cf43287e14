// The charts: one time axis with the purges as marks, and the same numbers as tables.

import {hitRatio} from './fleet.js';
import * as words from './words.js';

const SPAN = 300_000;
// Milliseconds. Replicas report once a second, at different moments: a shorter window would show the reports and not the traffic.
const SMOOTH = 4_000;

const share = value => value === null ? null : 100 * value;

/** The lines of each chart, from the bottom up. `of` computes a line's value from the rates or from the recent points. */
const CHARTS = {
  traffic: {
    format: words.rate,
    lines: [
      {name: 'hit', color: 'hit', stacked: true, of: rates => rates?.hit ?? null},
      {name: 'stale', color: 'stale', stacked: true, of: rates => rates?.stale ?? null},
      {name: 'collapsed', color: 'collapsed', stacked: true, of: rates => rates?.collapsed ?? null},
      {name: 'miss', color: 'filled', stacked: true, of: rates => rates?.miss ?? null},
      {name: 'bypass', color: 'bypass', stacked: true, of: rates => rates && rates.bypass + rates.pass},
      {name: 'failed', color: 'bad', stacked: true, of: rates => rates && rates.failed + rates.rejected + rates.client_closed},
      {name: 'origin fetches', color: 'origin', strong: true, of: rates => rates?.fetches ?? null},
    ],
  },
  origin: {
    format: words.rate,
    lines: [
      {name: 'fetches', color: 'origin', filled: true, of: rates => rates?.fetches ?? null},
      {name: 'fills', color: 'hit', of: rates => rates?.fills ?? null},
    ],
  },
  ratio: {
    format: value => words.percent(value === null ? null : value / 100),
    max: 100,
    lines: [{name: 'hit ratio', color: 'hit', filled: true, of: rates => rates && share(hitRatio(rates))}],
  },
  latency: {
    format: words.millis,
    logarithmic: true,
    lines: [
      {name: 'p50', color: 'collapsed', of: (rates, recent) => recent.median('p50')},
      {name: 'p99', color: 'origin', of: (rates, recent) => recent.max('p99')},
    ],
  },
  air: {
    format: words.rate,
    whole: true,
    lines: [
      {name: 'waiters', color: 'collapsed', filled: true, of: (rates, recent) => recent.max('waiters')},
      {name: 'flights', color: 'origin', of: (rates, recent) => recent.max('flights')},
    ],
  },
};

export class Charts {
  #charts = {};
  #values = {};
  #fleet;

  constructor(fleet) {
    this.#fleet = fleet;
    for (const [id, chart] of Object.entries(CHARTS)) {
      this.#charts[id] = this.#make(id, chart);
      document.querySelector(`details[data-chart="${id}"]`).addEventListener('toggle', () => this.#table(id));
    }
    const repaint = () => this.#paint();
    for (const query of ['(prefers-color-scheme: dark)', '(prefers-contrast: more)']) {
      matchMedia(query).addEventListener('change', repaint);
    }
    repaint();
  }

  /** Draws the current state of the fleet. */
  draw() {
    const {points} = this.#fleet;
    const now = points.at(-1).time;
    const inputs = points.map((point, index) => [this.#fleet.rates(SMOOTH, index), this.#fleet.recent(index)]);
    for (const [id, {lines, format}] of Object.entries(CHARTS)) {
      const chart = this.#charts[id];
      lines.forEach((line, index) => {
        chart.data.datasets[index].data = points.map((point, at) => ({x: point.time, y: line.of(...inputs[at])}));
        this.#values[id][index].textContent = format(line.of(...inputs.at(-1)));
      });
      chart.options.scales.x.min = now - SPAN;
      chart.options.scales.x.max = now;
      chart.purges = this.#fleet.purges;
      chart.update('none');
    }
    if (points.length % 10 === 0) {
      Object.keys(CHARTS).forEach(id => this.#describe(id));
    }
  }

  #make(id, {lines, format, max, logarithmic, whole}) {
    const canvas = document.getElementById(id);
    const stacked = lines.some(line => line.stacked);
    this.#values[id] = lines.map(line => entry(document.getElementById(`${id}-legend`), line));
    return new globalThis.Chart(canvas, {
      type: 'line',
      data: {datasets: lines.map(line => ({
        label: line.name,
        data: [],
        fill: line.stacked ? 'stack' : line.filled ? 'origin' : false,
        stack: line.stacked ? 'all' : line.name,
        order: line.strong ? 0 : 1,
        borderWidth: line.strong ? 2.5 : line.stacked ? 1 : 1.75,
        borderJoinStyle: 'round',
        // A value of zero has no border: it would cover its neighbor's.
        segment: line.stacked ? {borderColor: part => part.p0.raw.y || part.p1.raw.y ? undefined : 'transparent'} : {},
        pointRadius: 0,
        pointHitRadius: 0,
        tension: 0,
      }))},
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        parsing: false,
        normalized: true,
        interaction: {mode: 'index', intersect: false},
        layout: {padding: {top: id === 'traffic' || id === 'origin' ? 18 : 4}},
        scales: {
          x: {
            type: 'linear',
            border: {display: false},
            grid: {drawTicks: false},
            afterBuildTicks: axis => {
              axis.ticks = minutes(axis.min, axis.max, axis.width);
            },
            ticks: {autoSkip: false, maxRotation: 0, padding: 6, callback: value => words.minute(value)},
          },
          y: {
            type: logarithmic ? 'logarithmic' : 'linear',
            stacked,
            beginAtZero: !logarithmic,
            max,
            suggestedMax: max ? undefined : logarithmic ? 100 : whole ? 4 : 1,
            suggestedMin: logarithmic ? 1 : undefined,
            border: {display: false},
            grid: {drawTicks: false},
            // A logarithmic axis begins and ends at a power of ten.
            afterDataLimits: axis => {
              if (logarithmic && axis.max > 0) {
                axis.min = 10 ** Math.floor(Math.log10(axis.min || 1));
                axis.max = 10 ** Math.ceil(Math.log10(axis.max));
              }
            },
            afterFit: axis => {
              axis.width = Math.max(axis.width, 44);
            },
            ticks: {
              maxTicksLimit: id === 'traffic' || id === 'origin' ? 6 : 4,
              padding: 6,
              precision: whole ? 0 : undefined,
              callback: value => logarithmic ? powerOfTen(value) : max ? `${value} %` : words.tick(value),
            },
          },
        },
        plugins: {
          legend: {display: false},
          tooltip: {
            animation: false,
            position: 'nearest',
            itemSort: (first, second) => second.datasetIndex - first.datasetIndex,
            filter: item => item.raw.y !== null && (item.raw.y > 0 || !stacked),
            callbacks: {
              title: items => items.length ? words.clock(items[0].raw.x) : '',
              label: item => ` ${item.dataset.label} ${format(item.raw.y)}`,
            },
          },
        },
      },
      plugins: [marks(id === 'traffic')],
    });
  }

  #paint() {
    const style = getComputedStyle(document.documentElement);
    const color = name => style.getPropertyValue(`--${name}`).trim();
    globalThis.Chart.defaults.font.family = style.fontFamily;
    globalThis.Chart.defaults.font.size = 11;
    for (const [id, {lines}] of Object.entries(CHARTS)) {
      const chart = this.#charts[id];
      lines.forEach((line, index) => {
        const set = chart.data.datasets[index];
        set.borderColor = color(line.color);
        set.backgroundColor = color(line.stacked ? `${line.color}-fill` : `${line.color}-wash`);
      });
      for (const axis of Object.values(chart.options.scales)) {
        axis.ticks.color = color('quiet');
        axis.grid.color = color('line');
      }
      const tip = chart.options.plugins.tooltip;
      Object.assign(tip, {backgroundColor: color('tip'), titleColor: color('tip-ink'), bodyColor: color('tip-ink'),
        padding: 10, cornerRadius: 6, boxWidth: 8, boxHeight: 8, boxPadding: 4, caretSize: 0});
      chart.mark = color('purge');
      chart.update('none');
    }
  }

  /** Describes the chart as text, for screen readers. */
  #describe(id) {
    const chart = this.#charts[id];
    const descriptions = CHARTS[id].lines.map((line, index) => {
      const values = chart.data.datasets[index].data.map(({y}) => y).filter(y => y !== null);
      return values.length
        ? `${line.name} now ${CHARTS[id].format(values.at(-1))}, at most ${CHARTS[id].format(Math.max(...values))}`
        : `${line.name}: no data yet`;
    });
    chart.canvas.setAttribute('aria-label', `Line chart of the last five minutes. ${descriptions.join('; ')}.`);
    this.#table(id);
  }

  #table(id) {
    const details = document.querySelector(`details[data-chart="${id}"]`);
    if (!details.open || !this.#fleet.points.length) {
      return;
    }
    const {lines, format} = CHARTS[id];
    const table = document.createElement('table');
    const head = table.createTHead().insertRow();
    for (const name of ['time', ...lines.map(line => line.name)]) {
      head.append(Object.assign(document.createElement('th'), {scope: 'col', textContent: name}));
    }
    const body = table.createTBody();
    const {points} = this.#fleet;
    for (let index = points.length - 1; index >= 0; index -= 10) {
      const inputs = [this.#fleet.rates(SMOOTH, index), this.#fleet.recent(index)];
      const row = body.insertRow();
      row.append(Object.assign(document.createElement('th'), {scope: 'row', textContent: words.clock(points[index].time)}));
      for (const line of lines) {
        row.insertCell().textContent = format(line.of(...inputs));
      }
    }
    details.querySelector('.scroll').replaceChildren(table);
  }
}

/** One entry of a legend, with the current value. */
function entry(list, line) {
  const item = document.createElement('li');
  const swatch = document.createElement('span');
  swatch.className = `swatch ${line.color}${line.stacked || line.filled ? '' : ' thin'}`;
  const value = document.createElement('b');
  item.append(swatch, `${line.name} `, value);
  list.append(item);
  return value;
}

function powerOfTen(value) {
  return Math.abs(Math.log10(value) % 1) > 1e-9 ? null : value < 1_000 ? `${words.tick(value)} ms` : `${words.tick(value / 1_000)} s`;
}

/** Ticks at whole minutes of local time, as many as fit. */
function minutes(from, to, width) {
  const step = width < 260 ? 120_000 : 60_000;
  const ticks = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    ticks.push({value: at});
  }
  return ticks;
}

/** A line for each purge; with `labeled` also its first target, where there is room. */
function marks(labeled) {
  return {
    id: 'purges',
    afterDatasetsDraw(chart) {
      const {ctx, chartArea, scales: {x}} = chart;
      if (!chart.purges?.length) {
        return;
      }
      let free = -Infinity;
      ctx.save();
      ctx.strokeStyle = chart.mark;
      ctx.fillStyle = chart.mark;
      ctx.font = `600 11px ${globalThis.Chart.defaults.font.family}`;
      for (const purge of [...chart.purges].reverse()) {
        if (purge.at < x.min || purge.at > x.max) {
          continue;
        }
        const at = Math.round(x.getPixelForValue(purge.at)) + 0.5;
        ctx.setLineDash(purge.soft ? [2, 3] : []);
        ctx.lineWidth = 1;
        ctx.beginPath();
        ctx.moveTo(at, chartArea.top - (labeled ? 4 : 0));
        ctx.lineTo(at, chartArea.bottom);
        ctx.stroke();
        if (labeled) {
          const text = shortened(purge.names?.[0] ?? 'purge');
          const width = ctx.measureText(text).width;
          const left = Math.min(at - 2, chartArea.right - width);
          if (left > free + 8) {
            ctx.fillText(text, left, chartArea.top - 8);
            free = left + width;
          }
        }
      }
      ctx.restore();
    },
  };
}

function shortened(text) {
  return text.length > 22 ? `${text.slice(0, 9)}…${text.slice(-12)}` : text;
}
