import { linesOf, type Size, type View } from './lines.ts'

const begin = '\x1b[?1049h\x1b[?25l'
const end = '\x1b[?25h\x1b[?1049l'

export type Terminal = { write(text: string): unknown; columns: number; rows: number }

/** The second screen of a terminal, drawn over in place; `close` gives the first one back as it was. */
export function openScreen(terminal: Terminal) {
  let shown: View | null = null
  let isOpen = true
  terminal.write(begin)

  function draw(): void {
    if (!shown || !isOpen) return
    const lines = linesOf(shown, sizeOf(terminal))
    terminal.write(`\x1b[H${lines.map(line => `${line}\x1b[K`).join('\r\n')}\x1b[J`)
  }

  return {
    show(view: View): void {
      shown = view
      draw()
    },
    /** After the terminal has got another size. */
    draw,
    close(): void {
      if (isOpen) terminal.write(end)
      isOpen = false
    },
  }
}

/** A terminal that does not know its size says 0. */
function sizeOf({ columns, rows }: Terminal): Size {
  return { columns: columns || 80, rows: rows || 24 }
}
