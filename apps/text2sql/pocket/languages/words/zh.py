"""The words of Chinese."""

from __future__ import annotations

from apps.text2sql.pocket.languages.words.table import table_of_words

# Things: noun | measure word.
THINGS = table_of_words("""
label | 唱片公司 | 家
singer | 歌手 | 位
song | 歌曲 | 首
hall | 音乐厅 | 座
band | 乐队 | 支
concert | 音乐会 | 场
teacher | 老师 | 位
course | 课程 | 门
student | 学生 | 名
doctor | 医生 | 位
patient | 病人 | 位
visit | 就诊 | 次
shop | 商店 | 家
product | 产品 | 种
sale | 销售记录 | 条
author | 作者 | 位
book | 书 | 本
loan | 借阅记录 | 条
airline | 航空公司 | 家
airport | 机场 | 座
flight | 航班 | 趟
stadium | 体育场 | 座
team | 球队 | 支
player | 球员 | 名
film | 电影 | 部
cinema | 电影院 | 家
screening | 放映 | 场
zoo | 动物园 | 家
keeper | 饲养员 | 名
animal | 动物 | 只
restaurant | 餐厅 | 家
chef | 厨师 | 位
dish | 菜 | 道
bank | 银行 | 家
client | 客户 | 位
account | 账户 | 个
hotel | 酒店 | 家
room | 房间 | 个
booking | 预订 | 个
museum | 博物馆 | 座
artist | 画家 | 位
painting | 画 | 幅
farmer | 农民 | 位
farm | 农场 | 个
brand | 品牌 | 个
car | 汽车 | 辆
rental | 租车记录 | 条
company | 公司 | 家
department | 部门 | 个
employee | 员工 | 名
station | 车站 | 座
train | 列车 | 趟
ticket | 车票 | 张
""")

COLUMNS = table_of_words("""
name | 名称
title | 标题
city | 城市
country | 国家
type | 类型
color | 颜色
genre | 风格
level | 级别
date | 日期
year | 年份
age | 年龄
price | 价格
salary | 工资
rating | 评分
score | 成绩
budget | 预算
balance | 余额
speed | 速度
floor | 楼层
weight | 体重
area | 面积
capacity | 容纳人数
quantity | 数量
length | 时长
distance | 距离
goals | 进球数
points | 积分
seats | 座位数
pages | 页数
hours | 课时数
days | 天数
nights | 晚数
stars | 星级
visitors | 参观人数
calories | 热量
""")
