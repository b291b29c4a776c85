"""The words of Spanish."""

from __future__ import annotations

from apps.text2sql.pocket.languages.words.table import table_of_words

# Things: gender | singular | plural.
THINGS = table_of_words("""
label | m | sello | sellos
singer | m | cantante | cantantes
song | f | canción | canciones
hall | f | sala | salas
band | f | banda | bandas
concert | m | concierto | conciertos
teacher | m | profesor | profesores
course | m | curso | cursos
student | m | estudiante | estudiantes
doctor | m | médico | médicos
patient | m | paciente | pacientes
visit | f | visita | visitas
shop | f | tienda | tiendas
product | m | producto | productos
sale | f | venta | ventas
author | m | autor | autores
book | m | libro | libros
loan | m | préstamo | préstamos
airline | f | aerolínea | aerolíneas
airport | m | aeropuerto | aeropuertos
flight | m | vuelo | vuelos
stadium | m | estadio | estadios
team | m | equipo | equipos
player | m | jugador | jugadores
film | f | película | películas
cinema | m | cine | cines
screening | f | proyección | proyecciones
zoo | m | zoológico | zoológicos
keeper | m | cuidador | cuidadores
animal | m | animal | animales
restaurant | m | restaurante | restaurantes
chef | m | chef | chefs
dish | m | plato | platos
bank | m | banco | bancos
client | m | cliente | clientes
account | f | cuenta | cuentas
hotel | m | hotel | hoteles
room | f | habitación | habitaciones
booking | f | reserva | reservas
museum | m | museo | museos
artist | m | artista | artistas
painting | m | cuadro | cuadros
farmer | m | granjero | granjeros
farm | f | granja | granjas
brand | f | marca | marcas
car | m | coche | coches
rental | m | alquiler | alquileres
company | f | empresa | empresas
department | m | departamento | departamentos
employee | m | empleado | empleados
station | f | estación | estaciones
train | m | tren | trenes
ticket | m | billete | billetes
""")

# Columns: gender | singular | plural, or - for what is said in the singular | a number of things: the things.
COLUMNS = table_of_words("""
name | m | nombre | nombres
title | m | título | títulos
city | f | ciudad | ciudades
country | m | país | países
type | m | tipo | tipos
color | m | color | colores
genre | m | género | géneros
level | m | nivel | niveles
date | f | fecha | fechas
year | m | año | años
age | f | edad | edades
price | m | precio | precios
salary | m | salario | salarios
rating | f | valoración | valoraciones
score | f | nota | notas
budget | m | presupuesto | presupuestos
balance | m | saldo | saldos
speed | f | velocidad | velocidades
floor | f | planta | plantas
weight | m | peso | pesos
area | f | superficie | superficies
capacity | f | capacidad | capacidades
quantity | f | cantidad | cantidades
length | f | duración | duraciones
distance | f | distancia | distancias
goals | m | número de goles | - | goles
points | m | número de puntos | - | puntos
seats | m | número de asientos | - | asientos
pages | m | número de páginas | - | páginas
hours | m | número de horas | - | horas
days | m | número de días | - | días
nights | m | número de noches | - | noches
stars | m | número de estrellas | - | estrellas
visitors | m | número de visitantes | - | visitantes
calories | m | número de calorías | - | calorías
""")
