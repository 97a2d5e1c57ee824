const loopback = new Set(['localhost', '127.0.0.1', '[::1]'])

/**
 * The origin of an upstream host, such as `https://api.mch.weixin.qq.com`.
 *
 * Plain http is for a simulator on this machine only: over it a network in between could read
 * and drop calls. Throws an Error with one sentence.
 */
export function parseBaseUrl(text: string): string {
  const url = URL.parse(text)
  if (url === null) throw new Error(`The WeChat Pay address "${text}" is not a URL.`)
  if (url.username !== '' || url.password !== '') {
    throw new Error('A WeChat Pay address must not carry a user name or a password.')
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new Error(`The WeChat Pay address "${text}" must begin with https://.`)
  }
  if (url.protocol === 'http:' && !loopback.has(url.hostname)) {
    throw new Error(
      `The WeChat Pay address "${text}" must be https; http is for this machine alone.`,
    )
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new Error(`The WeChat Pay address "${text}" must end after the host and port.`)
  }
  return url.origin
}
