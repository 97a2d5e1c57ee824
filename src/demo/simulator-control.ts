/** The simulator's control calls that the demo needs: plain HTTP, as any tester would use them. */
export function createSimulatorControl(url: string) {
  async function call<T>(method: string, path: string, body?: object): Promise<T> {
    const answer = await fetch(`${url}${path}`, {
      method,
      ...(body
        ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
        : {}),
    })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    const read: T = JSON.parse(await answer.text())
    return read
  }

  return {
    putStore: (storeId: number, name: string) => call('PUT', `/_sim/stores/${storeId}`, { name }),
    putCard: (title: string) => call('PUT', '/_sim/card', { title }),
    putFaults: (faults: object) => call('PUT', '/_sim/faults', faults),
    guides: () =>
      call<{ guides: { guide_id: string; store_id: number; name: string }[] }>(
        'GET',
        '/_sim/guides',
      ),
    approveGuide: (guide: { store_id: number; name: string; mobile: string; work_id: string }) =>
      call<{ guide_id: string }>('POST', '/_sim/guides', guide),
    pay: (outTradeNo: string) =>
      call<{ card: { guide_id: string; name: string } | null; why: string }>(
        'POST',
        `/_sim/pay/${outTradeNo}`,
        {},
      ),
  }
}

export type SimulatorControl = ReturnType<typeof createSimulatorControl>
