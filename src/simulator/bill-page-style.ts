export const stylesheet = `
*{box-sizing:border-box;margin:0}
body{background:#ededed;color:#191919;font:16px/1.5 -apple-system,"PingFang SC","Noto Sans CJK SC","Microsoft YaHei",sans-serif}
main{max-width:430px;min-height:100vh;margin:0 auto;padding:0 12px 32px;background:#f3f3f3}
.bar{display:flex;align-items:center;justify-content:space-between;height:52px;margin:0 -4px}
.bar h1{font-size:17px;font-weight:600}
.icon{width:22px;height:22px;flex:none;display:block}
.line{fill:none;stroke:currentColor;stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}
.dots{fill:currentColor}
section{background:#fff;border-radius:12px;margin-bottom:12px;overflow:hidden}
.result{display:flex;flex-direction:column;align-items:center;gap:10px;padding:28px 0 22px}
.result strong{font-size:20px;font-weight:600}
.badge{width:44px;height:44px;fill:#07c160}
.waiting .badge{fill:#fa9d3b}
.badge path{fill:none;stroke:#fff;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
.pay{display:inline-block;margin:16px 0 4px;padding:9px 40px;border-radius:8px;background:#07c160;color:#fff;text-decoration:none}
dl{display:grid;grid-template-columns:76px 1fr;gap:10px 8px;margin:0 20px;padding:18px 0;border-top:1px solid #ececec;font-size:15px}
dt{color:#8a8a8a}
dd{overflow-wrap:anywhere}
.entry{display:flex;align-items:center;gap:10px;margin:0 20px;padding:16px 0;border-top:1px solid #ececec;color:#576b95;text-decoration:none}
.entry .next{margin-left:auto;width:16px;color:#b2b2b2}
.brand{display:flex;align-items:center;gap:8px;padding:12px 20px;color:#6b6b6b;font-size:14px;border-bottom:1px solid #f1f1f1}
.logo{width:22px;height:22px;border-radius:50%;flex:none}
.person{display:flex;align-items:center;gap:14px;padding:20px 20px 0}
.person>div{min-width:0}
.avatar{width:60px;height:60px;border-radius:8px;flex:none;object-fit:cover}
.person h2{font-size:20px;line-height:1.3;font-weight:600;overflow-wrap:anywhere}
.person p{color:#7f7f7f;font-size:14px;margin-top:2px}
.codes{display:flex;justify-content:center;gap:20px;padding:22px 20px}
figure{flex:1;max-width:190px;text-align:center}
.qr{display:block;width:100%;background:#fff;border:1px solid #ececec;border-radius:8px;fill:#191919}
figcaption{margin-top:10px;font-size:13px;line-height:1.4;color:#4c4c4c}
figcaption small{display:block;font-size:11px;color:#b2b2b2}
nav{display:flex;border-top:1px solid #ececec}
nav>*{flex:1;display:flex;flex-direction:column;align-items:center;gap:5px;padding:14px 0;color:#4c4c4c;font-size:13px;text-decoration:none}
nav:empty{display:none}
.none{padding:22px 20px;color:#4c4c4c;font-size:15px}
.none h2{font-size:16px;font-weight:600;color:#191919;margin-bottom:6px}
.why{margin-top:12px;padding-top:12px;border-top:1px solid #ececec;color:#8a8a8a;font-size:13px;line-height:1.45;overflow-wrap:anywhere}
footer{padding:8px 0;text-align:center;color:#b2b2b2;font-size:12px}
`
