import { createHash } from 'node:crypto'
import { html, raw } from 'hono/html'

const TINTS = ['#3a7d6b', '#4a6fa5', '#a5674a', '#7a5ca5', '#a54a6f', '#5c7a3a']
const QR_SIDE = 29

function icon(name: string, shapes: string) {
  return raw(`<svg class="icon ${name}" viewBox="0 0 24 24" aria-hidden="true">${shapes}</svg>`)
}

export const icons = {
  back: icon('line', '<path d="M15 4 7 12l8 8"/>'),
  more: icon(
    'dots',
    '<circle cx="5" cy="12" r="2"/><circle cx="12" cy="12" r="2"/><circle cx="19" cy="12" r="2"/>',
  ),
  next: icon('line next', '<path d="m9 5 7 7-7 7"/>'),
  paid: icon('badge', '<circle cx="12" cy="12" r="12"/><path d="m6.5 12.4 3.7 3.7 7.3-7.6"/>'),
  clock: icon('badge', '<circle cx="12" cy="12" r="12"/><path d="M12 6.5V12l3.6 2.6"/>'),
  contact: icon('line', '<path d="M4 5h16v11H11l-4.5 3.5V16H4z"/><path d="M8 9.2h8M8 12.2h5"/>'),
  like: icon(
    'line',
    '<path d="M8 11v9H4v-9zM8 11l4-8c1.6 0 2.6 1.2 2.3 2.8L13.8 9H19c1 0 1.7.9 1.5 1.9l-1.4 7.5c-.2 1-1 1.6-1.9 1.6H8"/>',
  ),
  phone: icon(
    'line',
    '<path d="M6 3h3l1.6 4.6-2 1.6a12 12 0 0 0 6.2 6.2l1.6-2L21 15v3a3 3 0 0 1-3 3C10.3 21 3 13.7 3 6a3 3 0 0 1 3-3z"/>',
  ),
  navigation: icon(
    'line',
    '<path d="M12 21.5c4.6-4.7 7-8.3 7-11.5a7 7 0 0 0-14 0c0 3.2 2.4 6.8 7 11.5z"/><circle cx="12" cy="10" r="2.6"/>',
  ),
}

/** The picture itself only when it is inline: the page makes no request. Otherwise the initial. */
export function picture(url: string | null, name: string, role: 'avatar' | 'logo') {
  if (url?.startsWith('data:image/')) return html`<img class="${role}" src="${url}" alt="" />`
  const [initial = '?'] = name
  const tint = TINTS[(initial.codePointAt(0) ?? 0) % TINTS.length]
  return html`<svg class="${role}" viewBox="0 0 48 48" role="img" aria-label="${name}">
    <rect width="48" height="48" fill="${tint}" />
    <text x="24" y="25" fill="#fff" font-size="22" text-anchor="middle" dominant-baseline="central">${initial}</text>
  </svg>`
}

/** Looks like a QR code and is none: the code itself is an image on WeChat's servers. */
export function qrPlaceholder(content: string) {
  const cells = Array.from({ length: QR_SIDE * QR_SIDE }, (_, index) => index)
    .filter(index => isDark(index % QR_SIDE, Math.floor(index / QR_SIDE), content))
    .map(index => `M${index % QR_SIDE} ${Math.floor(index / QR_SIDE)}h1v1h-1z`)
  return raw(
    `<svg class="qr" viewBox="-2 -2 ${QR_SIDE + 4} ${QR_SIDE + 4}" role="img" aria-label="二维码示意图" shape-rendering="crispEdges"><path d="${cells.join('')}"/></svg>`,
  )
}

function isDark(x: number, y: number, content: string): boolean {
  const far = QR_SIDE - 8
  const inCorner = (x < 8 && y < 8) || (x >= far && y < 8) || (x < 8 && y >= far)
  if (inCorner) return isFinder(x < 8 ? x : x - far - 1, y < 8 ? y : y - far - 1)
  const digest = createHash('sha256').update(`${y} ${content}`).digest()
  return (((digest[x >> 3] ?? 0) >> (x & 7)) & 1) === 1
}

function isFinder(x: number, y: number): boolean {
  if (x < 0 || y < 0 || x > 6 || y > 6) return false
  const ring = Math.max(Math.abs(x - 3), Math.abs(y - 3))
  return ring !== 2
}
