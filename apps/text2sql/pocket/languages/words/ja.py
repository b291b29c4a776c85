"""The words of Japanese."""

from __future__ import annotations

from apps.text2sql.pocket.languages.words.table import table_of_words

# Things: noun | counter.
THINGS = table_of_words("""
label | レーベル | 社
singer | 歌手 | 人
song | 曲 | 曲
hall | ホール | 軒
band | バンド | 組
concert | コンサート | 件
teacher | 先生 | 人
course | 講座 | 件
student | 生徒 | 人
doctor | 医師 | 人
patient | 患者 | 人
visit | 診察 | 件
shop | 店 | 軒
product | 商品 | 点
sale | 販売 | 件
author | 著者 | 人
book | 本 | 冊
loan | 貸出 | 件
airline | 航空会社 | 社
airport | 空港 | か所
flight | 便 | 便
stadium | スタジアム | か所
team | チーム | チーム
player | 選手 | 人
film | 映画 | 本
cinema | 映画館 | 軒
screening | 上映 | 件
zoo | 動物園 | か所
keeper | 飼育員 | 人
animal | 動物 | 頭
restaurant | レストラン | 軒
chef | シェフ | 人
dish | 料理 | 品
bank | 銀行 | 行
client | 顧客 | 人
account | 口座 | 件
hotel | ホテル | 軒
room | 部屋 | 室
booking | 予約 | 件
museum | 美術館 | 館
artist | 画家 | 人
painting | 絵 | 枚
farmer | 農家 | 人
farm | 農場 | か所
brand | ブランド | 社
car | 車 | 台
rental | レンタル | 件
company | 会社 | 社
department | 部署 | 件
employee | 社員 | 人
station | 駅 | 駅
train | 列車 | 本
ticket | 切符 | 枚
""")

COLUMNS = table_of_words("""
name | 名前
title | タイトル
city | 都市
country | 国
type | 種類
color | 色
genre | ジャンル
level | レベル
date | 日付
year | 年
age | 年齢
price | 価格
salary | 給料
rating | 評価
score | 点数
budget | 予算
balance | 残高
speed | 速度
floor | 階
weight | 体重
area | 面積
capacity | 収容人数
quantity | 数量
length | 長さ
distance | 距離
goals | ゴール数
points | 勝ち点
seats | 座席数
pages | ページ数
hours | 時間数
days | 日数
nights | 泊数
stars | 星の数
visitors | 来館者数
calories | カロリー
""")
