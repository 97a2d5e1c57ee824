import type { Contest } from './contest.ts'
import { spreadOf } from './figures.ts'

const colours = { floor: '#8fa3b0', service: '#07c160', peer: '#c9a227' }
const names = {
  floor: 'floor: the protocol, nothing decided or kept',
  service: 'smartguide-assign',
  peer: 'peer: fastify, SQLite, the community client',
}
const [width, left, bar, gap] = [760, 300, 22, 8]
const full = width - left - 90

/** The contest as a picture: processor time an order, and orders a second. */
export function drawChart({ sheet }: Contest, machine: string): string {
  const panels = [
    {
      title: 'Processor time for one assigned order, ms (less is better)',
      what: 'cpu, 32 connections',
      digits: 2,
    },
    {
      title: 'Assigned orders a second, 32 connections (more is better)',
      what: 'rate, 32 connections',
      digits: 0,
    },
  ]
  const height = 40 + panels.length * (34 + 3 * (bar + gap)) + 20
  const lines: string[] = []
  let y = 30
  for (const { title, what, digits } of panels) {
    const bars = (['floor', 'service', 'peer'] as const).map(name => ({
      name,
      value: spreadOf(sheet.get(name)?.get(what) ?? []).median,
    }))
    const most = Math.max(...bars.map(({ value }) => value))
    lines.push(`<text x="16" y="${y}" font-weight="600">${title}</text>`)
    y += 12
    for (const { name, value } of bars) {
      const length = Math.round((value / most) * full)
      const middle = y + bar / 2 + 4
      lines.push(
        `<text x="${left - 8}" y="${middle}" text-anchor="end">${names[name]}</text>`,
        `<rect x="${left}" y="${y}" width="${length}" height="${bar}" rx="3" fill="${colours[name]}"/>`,
        `<text x="${left + length + 6}" y="${middle}">${value.toFixed(digits)}</text>`,
      )
      y += bar + gap
    }
    y += 26
  }
  lines.push(`<text x="16" y="${height - 10}" font-size="10" fill="#777">${machine}</text>`)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#222" role="img" aria-label="Processor time and orders a second of floor, service and peer">
<title>What an order costs</title>
<rect width="${width}" height="${height}" fill="#fff"/>
${lines.join('\n')}
</svg>
`
}
