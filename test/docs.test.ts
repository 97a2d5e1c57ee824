import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'

const pages = [
  'README.md',
  'README.zh-CN.md',
  ...readdirSync('docs')
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name}`),
]
const twins = pages.filter(page => page.endsWith('.zh-CN.md'))

const textOf = (page: string) => readFileSync(page, 'utf8')
const withoutBlocks = (text: string) => text.replace(/^```[\s\S]*?^```$/gm, '')

/** As GitHub makes them. */
function anchorsOf(page: string): string[] {
  return headingsOf(page).map(heading =>
    heading
      .replace(/^#+ /, '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

function headingsOf(page: string): string[] {
  return withoutBlocks(textOf(page)).match(/^#+ .*$/gm) ?? []
}

describe('what people read', () => {
  it.each(pages)('%s has no link that leads nowhere', page => {
    for (const [, target = ''] of withoutBlocks(textOf(page)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (target.startsWith('https://')) continue
      const [file = '', anchor] = target.split('#')
      const path = file === '' ? page : join(dirname(page), file)
      expect(existsSync(path), target).toBe(true)
      if (anchor !== undefined) expect(anchorsOf(path), target).toContain(anchor)
    }
  })

  it.each(twins)(
    '%s says what its English twin says: as many headings, rows, blocks and steps',
    zh => {
      const en = zh.replace('.zh-CN', '')
      const shapeOf = (page: string) => ({
        headings: headingsOf(page).map(heading => heading.replace(/ .*/, '')),
        rows: textOf(page).match(/^\|/gm)?.length ?? 0,
        steps: textOf(page).match(/^\d+\. \*\*/gm) ?? [],
        blocks: textOf(page).match(/^```/gm)?.length ?? 0,
      })
      expect(shapeOf(zh)).toEqual(shapeOf(en))
    },
  )

  it.each(twins)('%s has the lines to paste of its English twin', zh => {
    const linesOf = (page: string) =>
      [...textOf(page).matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = '']) =>
        block
          .replace(/(^|\s)# (?!\d$).*$/gm, '')
          .replace(/^\s*#.*$/gm, '')
          .replaceAll('南京路店', 'Nanjing Road')
          .replace(/\s+$/gm, ''),
      )
    expect(linesOf(zh)).toEqual(linesOf(zh.replace('.zh-CN', '')))
  })

  it.each(twins)('%s names the routes, settings and codes that its English twin names', zh => {
    const namesOf = (page: string) => {
      const said = withoutBlocks(textOf(page)).match(
        /(GET|POST|PUT|PATCH|DELETE) \/[\w/:]+|\b[A-Z]+(_[A-Z0-9]+)+\b|\bsmartguide_\w+|npm run [\w:]+/g,
      )
      return [...new Set(said)].sort()
    }
    expect(namesOf(zh)).toEqual(namesOf(zh.replace('.zh-CN', '')))
  })
})
