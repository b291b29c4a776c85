"""The words of Vietnamese."""

from __future__ import annotations

from apps.text2sql.pocket.languages.words.table import table_of_words

# Things, with their classifier where the noun wants one.
THINGS = table_of_words("""
label | hãng đĩa
singer | ca sĩ
song | bài hát
hall | hội trường
band | ban nhạc
concert | buổi hòa nhạc
teacher | giáo viên
course | khóa học
student | học sinh
doctor | bác sĩ
patient | bệnh nhân
visit | lượt khám
shop | cửa hàng
product | sản phẩm
sale | lượt bán
author | tác giả
book | cuốn sách
loan | lượt mượn
airline | hãng hàng không
airport | sân bay
flight | chuyến bay
stadium | sân vận động
team | đội bóng
player | cầu thủ
film | bộ phim
cinema | rạp chiếu phim
screening | suất chiếu
zoo | sở thú
keeper | nhân viên chăm thú
animal | con vật
restaurant | nhà hàng
chef | đầu bếp
dish | món ăn
bank | ngân hàng
client | khách hàng
account | tài khoản
hotel | khách sạn
room | phòng
booking | lượt đặt phòng
museum | bảo tàng
artist | họa sĩ
painting | bức tranh
farmer | nông dân
farm | trang trại
brand | hãng xe
car | ô tô
rental | lượt thuê
company | công ty
department | phòng ban
employee | nhân viên
station | nhà ga
train | đoàn tàu
ticket | vé
""")

# Columns: the word | of a number of things: the things.
COLUMNS = table_of_words("""
name | tên
title | tiêu đề
city | thành phố
country | quốc gia
type | loại
color | màu
genre | thể loại
level | trình độ
date | ngày
year | năm
age | tuổi
price | giá
salary | lương
rating | điểm đánh giá
score | điểm số
budget | ngân sách
balance | số dư
speed | tốc độ
floor | tầng
weight | cân nặng
area | diện tích
capacity | sức chứa
quantity | số lượng
length | thời lượng
distance | khoảng cách
goals | số bàn thắng | bàn thắng
points | số điểm | điểm
seats | số chỗ ngồi | chỗ ngồi
pages | số trang | trang
hours | số giờ | giờ
days | số ngày | ngày
nights | số đêm | đêm
stars | số sao | sao
visitors | số khách tham quan | khách tham quan
calories | số calo | calo
""")
