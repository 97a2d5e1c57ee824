import { describe, expect, it } from 'vitest'
import { parseBaseUrl } from '../../src/wechatpay/base-url.ts'

describe('an upstream address', () => {
  it.each([
    ['https://api.mch.weixin.qq.com', 'https://api.mch.weixin.qq.com'],
    ['https://API2.mch.weixin.qq.com/', 'https://api2.mch.weixin.qq.com'],
    ['https://proxy.internal:8443', 'https://proxy.internal:8443'],
    ['http://127.0.0.1:3000', 'http://127.0.0.1:3000'],
    ['http://localhost:3000/', 'http://localhost:3000'],
    ['http://[::1]:3000', 'http://[::1]:3000'],
  ])('%s is called at %s', (text, origin) => {
    expect(parseBaseUrl(text)).toBe(origin)
  })

  it.each([
    ['', /is not a URL\.$/],
    ['api.mch.weixin.qq.com', /is not a URL\.$/],
    ['http://api.mch.weixin.qq.com', /must be https; http is for this machine alone\.$/],
    ['http://10.0.0.8:3000', /must be https/],
    ['http://127.0.0.1.evil.example', /must be https/],
    ['http://localhost.evil.example', /must be https/],
    ['ftp://127.0.0.1', /must begin with https:\/\/\.$/],
    ['file:///etc/passwd', /must begin with https:\/\/\.$/],
    ['https://api.mch.weixin.qq.com/v3', /must end after the host and port\.$/],
    ['https://api.mch.weixin.qq.com/?a=1', /must end after the host and port\.$/],
    ['https://api.mch.weixin.qq.com/#a', /must end after the host and port\.$/],
    ['https://user@api.mch.weixin.qq.com', /must not carry a user name or a password\.$/],
  ])('%j is refused in one sentence', (text, sentence) => {
    expect(() => parseBaseUrl(text)).toThrow(sentence)
  })

  it('with a password is refused without repeating it', () => {
    expect(() => parseBaseUrl('https://user:hunter2@api.mch.weixin.qq.com')).not.toThrow(/hunter2/)
  })
})
