import { html, raw } from 'hono/html'
import type { Bill, Card, Channel, Verdict } from './bill.ts'
import { icons, picture, qrPlaceholder } from './bill-page-pictures.ts'
import { stylesheet } from './bill-page-style.ts'
import type { Guide, World } from './world.ts'

const channelNames: Record<Channel, string> = {
  payment_code: '付款码支付',
  jsapi: '扫码支付（JSAPI）',
  mini_program: '小程序支付',
  app: 'APP支付',
  h5: 'H5支付',
  native: 'Native支付',
}

const reasons: Record<Exclude<Verdict, 'shown'>, string> = {
  not_assigned: '支付前没有为该订单分配服务人员',
  assigned_after_payment: '分配请求在支付完成之后才到达',
  auto_assign: '商户已开启平台自动分配，接口分配不生效',
  channel_without_card: '商业版商户的主动扫码订单不展示名片',
  window_expired: '分配时间过早，支付时已超过有效期',
  unknown_guide: '分配的服务人员在该商户下不存在',
}

/** The bill as the payer has it on the phone. Asks for nothing from outside. */
export function billPage(
  order: { outTradeNo: string; subMchid: string | null },
  bill: Bill | undefined,
  world: World,
) {
  return html`<!doctype html>
<html lang="zh-CN">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>账单 ${order.outTradeNo}</title>
    <style>${raw(stylesheet)}</style>
  </head>
  <body>
    <main>
      <header class="bar">${icons.back}<h1>账单详情</h1>${icons.more}</header>
      ${bill ? paid(bill, world) : unpaid(order)}
      <footer>模拟账单 · 非真实交易</footer>
    </main>
  </body>
</html>`
}

function unpaid({ outTradeNo, subMchid }: { outTradeNo: string; subMchid: string | null }) {
  const payNow =
    subMchid === null ? '?pay=now' : `?pay=now&sub_mchid=${encodeURIComponent(subMchid)}`
  return html`<section class="bill">
      <div class="result waiting">${icons.clock}<strong>尚未支付</strong></div>
      <dl><dt>商户单号</dt><dd>${outTradeNo}</dd></dl>
    </section>
    <section class="none">
      <p>订单支付完成后，账单中才会出现服务人员入口。</p>
      <p><a class="pay" href="${payNow}">立即支付</a></p>
      <p class="why" lang="en">Not paid yet: there is no bill for this order.</p>
    </section>`
}

function paid(bill: Bill, world: World) {
  const { card } = bill
  const guide = card && world.guide(card.guide_id, bill.sub_mchid)
  return html`<section class="bill">
      <div class="result">${icons.paid}<strong>支付成功</strong></div>
      <dl>
        ${card ? html`<dt>收款门店</dt><dd>${card.store.name}</dd>` : ''}
        <dt>支付方式</dt><dd>${channelNames[bill.channel]}</dd>
        <dt>支付时间</dt><dd>${bill.paid_at.slice(0, 19).replace('T', ' ')}</dd>
        <dt>商户单号</dt><dd>${bill.out_trade_no}</dd>
      </dl>
      ${card ? html`<a class="entry" href="#guide">${icons.contact}<span>联系商家${card.title}</span>${icons.next}</a>` : ''}
    </section>
    ${card && guide ? guideCard(card, guide, world.card().logo) : withoutCard(bill)}`
}

function withoutCard({ code, why }: Bill) {
  return html`<section class="none">
    <h2>账单中没有服务人员入口</h2>
    <p>${code === 'shown' ? '' : reasons[code]}</p>
    <p class="why" lang="en">${why}</p>
  </section>`
}

function guideCard(card: Card, guide: Guide, logo: string | null) {
  return html`<section class="card" id="guide">
    <div class="brand">${picture(logo, card.store.name, 'logo')}<span>${card.store.name}</span></div>
    <div class="person">
      ${picture(guide.avatar ?? null, card.name, 'avatar')}
      <div><h2>${card.name}</h2><p>${card.store.name} 门店${card.title}</p></div>
    </div>
    <div class="codes">
      ${card.modules.includes('personal_qr') ? qrFigure(guide.qr_code ?? guide.guide_id, '长按识别，添加我为好友') : ''}
      ${card.modules.includes('group_qr') ? qrFigure(guide.group_qrcode ?? '', '长按识别，加入门店群') : ''}
    </div>
    <nav>
      ${card.modules.includes('like') ? html`<span>${icons.like}点赞</span>` : ''}
      ${card.modules.includes('phone') ? html`<a href="tel:${guide.mobile}">${icons.phone}打电话</a>` : ''}
      ${card.modules.includes('navigation') ? html`<span>${icons.navigation}到店导航</span>` : ''}
    </nav>
  </section>`
}

function qrFigure(content: string, caption: string) {
  return html`<figure>${qrPlaceholder(content)}<figcaption>${caption}<small>二维码示意图</small></figcaption></figure>`
}
