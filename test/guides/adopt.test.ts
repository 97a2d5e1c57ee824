import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readCopied } from '../../src/guides/adopt.ts'

const id = 'LLA3WJ6DSZUfiaZDS79FH5Wm5m4X69TBic'
const digitsId = '01008370080000000001'
const mobile = '13800138000'
const name = '张三'
const all = { name, mobile, guideId: id }

describe('the text that the mini-program copies', () => {
  it.each([
    ['three lines', `${name}\n${mobile}\n${id}`, all],
    ['Windows lines', `${name}\r\n${mobile}\r\n${id}\r\n`, all],
    ['one line', `${name} ${mobile} ${id}`, all],
    ['commas', `${name},${mobile},${id}`, all],
    ['Chinese commas', `${name}，${mobile}，${id}。`, all],
    ['tabs', `${name}\t${mobile}\t${id}`, all],
    ['bars', `${name}|${mobile}|${id}`, all],
    ['labels', `姓名：${name}\n手机号：${mobile}\n服务人员ID：${id}`, all],
    ['labels in one line', `姓名：${name} 手机号：${mobile} 服务人员ID：${id}`, all],
    ['labels and nothing between', `姓名：${name}手机号：${mobile}服务人员ID：${id}`, all],
    ['labels without colons', `姓名 ${name}\n手机号 ${mobile}\nID ${id}`, all],
    ['labels and nothing at all between', `姓名${name}手机号码${mobile}服务人员ID${id}`, all],
    ['half-width colons', `姓名: ${name}\n手机号: ${mobile}\nID: ${id}`, all],
    ['spaces before colons', `姓名 ： ${name}\n手机 ： ${mobile}\nID ： ${id}`, all],
    ['labels in lines of their own', `姓名\n${name}\n手机号\n${mobile}\n服务人员ID\n${id}`, all],
    ['long labels', `服务人员姓名：${name}\n服务人员手机号码：${mobile}\n服务人员编号：${id}`, all],
    ['English labels', `Name: ${name}\nMobile: ${mobile}\nguide_id: ${id}`, all],
    ['a table', `Name\t${name}\nPhone\t${mobile}\nID\t${id}`, all],
    ['another order', `服务人员ID：${id}\n手机号：${mobile}\n姓名：${name}`, all],
    ['some labels', `${name}\n${mobile}\nID：${id}`, all],
    ['one label in one line', `${name} ${mobile} ID:${id}`, all],
    ['+86', `${name}\n+86 ${mobile}\n${id}`, all],
    ['+86-', `${name}\n+86-${mobile}\n${id}`, all],
    ['86', `${name} 86${mobile} ${id}`, all],
    ['0086', `${name} 0086 ${mobile} ${id}`, all],
    ['spaces in the mobile', `${name} 138 0013 8000 ${id}`, all],
    ['spaces in the labelled mobile', `姓名：${name}\n手机号：+86 138 0013 8000\nID：${id}`, all],
    ['dashes in the mobile', `${name}\n138-0013-8000\n${id}`, all],
    ['an ID of digits', `${name}\n${mobile}\n${digitsId}`, { ...all, guideId: digitsId }],
    ['an ID of digits in one line', `${name} ${mobile} ${digitsId}`, { ...all, guideId: digitsId }],
    ['an ID of digits first', `${digitsId} ${mobile} ${name}`, { ...all, guideId: digitsId }],
    ['a short ID with its label', `${name}\n${mobile}\nID：G7`, { ...all, guideId: 'G7' }],
    ['a name with a space', `Mary Ann\n${mobile}\n${id}`, { ...all, name: 'Mary Ann' }],
    ['that in one line', `Mary Ann ${mobile} ${id}`, { ...all, name: 'Mary Ann' }],
    ['that in the midst', `${mobile} Mary Ann ${id}`, { ...all, name: 'Mary Ann' }],
    [
      'that with its label',
      `姓名：Mary Ann 手机号：${mobile} ID：${id}`,
      { ...all, name: 'Mary Ann' },
    ],
    ['a name with a dot', `阿迪力·买买提\n${mobile}\n${id}`, { ...all, name: '阿迪力·买买提' }],
    ['a name with ID in it', `David\n${mobile}\n${id}`, { ...all, name: 'David' }],
    [
      'a name that begins with Id',
      `Ida Telford\n${mobile}\n${id}`,
      { ...all, name: 'Ida Telford' },
    ],
    [
      'a long Latin name',
      `Maximilianmustermann\n${mobile}\n${id}`,
      { ...all, name: 'Maximilianmustermann' },
    ],
    ['a name of digits', `007\n${mobile}\n${id}`, { ...all, name: '007' }],
    [
      'a name of digits with its label',
      `姓名：138\n手机号：${mobile}\nID：${id}`,
      { ...all, name: '138' },
    ],
    [
      'a name like a mobile',
      `姓名：13900000000\n手机号：${mobile}\nID：${id}`,
      { ...all, name: '13900000000' },
    ],
    [
      'a name like a mobile last',
      `手机号：${mobile}\nID：${id}\n姓名：13900000000`,
      { ...all, name: '13900000000' },
    ],
    ['no name', `${mobile}\n${id}`, { ...all, name: null }],
    ['no ID', `${name}\n${mobile}`, { ...all, guideId: null }],
    ['no mobile', `${name}\n${id}`, { ...all, mobile: null }],
    ['an empty label', `姓名：\n手机号：${mobile}\nID：${id}`, { ...all, name: null }],
    ['an ID alone', id, { name: null, mobile: null, guideId: id }],
    [
      'a store beside',
      `门店：一号店\n门店ID：1001\n姓名：${name}\n手机号：${mobile}\n服务人员ID：${id}`,
      all,
    ],
    ['invisible marks', `\ufeff\u202d${name}\u200b\n\u202d${mobile}\u202c\n${id}\u200e`, all],
    [
      'spaces of other widths',
      `姓名：\u3000${name}\u00a0手机号：\u00a0${mobile}\u3000ID：${id}`,
      all,
    ],
    [
      'a telephone with its label',
      `${name}\n电话：0755-12345678\nID：${id}`,
      { ...all, mobile: '0755-12345678' },
    ],
    ['Hong Kong', `${name}\n+852 9123 4567\n${id}`, { ...all, mobile: '+852 9123 4567' }],
    ['nothing', ' \n ', { name: null, mobile: null, guideId: null }],
  ])('is read with %s', (_, text, expected) => {
    expect(readCopied(text)).toEqual(expected)
  })

  const labels = {
    name: ['', '姓名：', '姓名:', '姓名 ', '服务人员姓名：', 'Name: ', '名称：'],
    mobile: ['', '手机号：', '手机号码: ', '手机 ', '联系电话：', 'Mobile: ', '电话='],
    guideId: ['', '服务人员ID：', 'ID:', 'ID：', '编号：', 'guide_id: ', '服务人员ID '],
  }
  const han = fc.string({
    unit: fc.constantFrom(...'王李张刘陈杨赵黄周吴小美强丽娟伟·'),
    minLength: 1,
    maxLength: 6,
  })
  const latin = fc
    .array(fc.stringMatching(/^[A-Z][a-z]{1,9}$/), { minLength: 1, maxLength: 3 })
    .map(parts => parts.join(' '))
  const anyName = fc
    .oneof(han, latin)
    .filter(text => text.trim() !== '' && !/Name|Id|Tel/.test(text))
  const someDigits = fc.stringMatching(/^[3-9]\d{9}$/)
  const anyMobile = fc.tuple(
    someDigits,
    fc.constantFrom('', '+86', '+86 ', '+86-', '86', '0086 '),
    fc.constantFrom('', ' ', '-'),
  )
  const anyId = fc.oneof(
    fc.stringMatching(/^LLA[0-9A-Za-z]{20}\d[0-9A-Za-z]{10}$/),
    fc.stringMatching(/^010\d{17}$/),
  )

  it('is read in any order, with any labels and any separators', () => {
    fc.assert(
      fc.property(
        anyName,
        anyMobile,
        anyId,
        fc.shuffledSubarray(['name', 'mobile', 'guideId'] as const, { minLength: 3 }),
        fc.constantFrom('\n', '\r\n', '\n\n', ',', '，', '；', '\t', ' ', '  ', ' | ', '\n  '),
        fc.record({
          name: fc.constantFrom(...labels.name),
          mobile: fc.constantFrom(...labels.mobile),
          guideId: fc.constantFrom(...labels.guideId),
        }),
        (person, [rest, prefix, gap], guideId, order, between, labelOf) => {
          const digits = `1${rest}`
          const written = `${prefix}${[digits.slice(0, 3), digits.slice(3, 7), digits.slice(7)].join(gap)}`
          const values = { name: person, mobile: written, guideId }
          const text = order.map(kind => `${labelOf[kind]}${values[kind]}`).join(between)
          expect(readCopied(text)).toEqual({ name: person, mobile: digits, guideId })
        },
      ),
      { numRuns: 3000 },
    )
  })

  it('never throws, and finds nothing that is not in the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), text => {
        const { name: person, guideId } = readCopied(text)
        if (guideId !== null) expect(text.replace(/\P{ASCII}/gu, '')).toContain(guideId)
        if (person !== null) expect(person.trim()).toBe(person)
      }),
    )
  })

  it('is read in a moment, however long and odd it is', () => {
    const startedMs = performance.now()
    for (const unit of [
      '1',
      '+',
      '1 ',
      '13',
      ' ',
      'ID',
      '姓',
      '手机号',
      'a-',
      '\t',
      '86 ',
      '+1-',
    ]) {
      readCopied(unit.repeat(2000 / unit.length))
    }
    expect(performance.now() - startedMs).toBeLessThan(500)
  })
})
