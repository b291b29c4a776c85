"""The words of German."""

from __future__ import annotations

from apps.text2sql.pocket.languages.words.table import table_of_words

# Things: gender | nominative | genitive | plural | accusative and dative singular, where they differ.
THINGS = table_of_words("""
label | n | Label | Labels | Labels
singer | m | Sänger | Sängers | Sänger
song | n | Lied | Liedes | Lieder
hall | f | Halle | Halle | Hallen
band | f | Band | Band | Bands
concert | n | Konzert | Konzerts | Konzerte
teacher | m | Lehrer | Lehrers | Lehrer
course | m | Kurs | Kurses | Kurse
student | m | Schüler | Schülers | Schüler
doctor | m | Arzt | Arztes | Ärzte
patient | m | Patient | Patienten | Patienten | Patienten
visit | m | Besuch | Besuchs | Besuche
shop | m | Laden | Ladens | Läden
product | n | Produkt | Produkts | Produkte
sale | m | Verkauf | Verkaufs | Verkäufe
author | m | Autor | Autors | Autoren
book | n | Buch | Buches | Bücher
loan | f | Ausleihe | Ausleihe | Ausleihen
airline | f | Fluglinie | Fluglinie | Fluglinien
airport | m | Flughafen | Flughafens | Flughäfen
flight | m | Flug | Fluges | Flüge
stadium | n | Stadion | Stadions | Stadien
team | n | Team | Teams | Teams
player | m | Spieler | Spielers | Spieler
film | m | Film | Films | Filme
cinema | n | Kino | Kinos | Kinos
screening | f | Vorführung | Vorführung | Vorführungen
zoo | m | Zoo | Zoos | Zoos
keeper | m | Pfleger | Pflegers | Pfleger
animal | n | Tier | Tieres | Tiere
restaurant | n | Restaurant | Restaurants | Restaurants
chef | m | Koch | Kochs | Köche
dish | n | Gericht | Gerichts | Gerichte
bank | f | Bank | Bank | Banken
client | m | Kunde | Kunden | Kunden | Kunden
account | n | Konto | Kontos | Konten
hotel | n | Hotel | Hotels | Hotels
room | n | Zimmer | Zimmers | Zimmer
booking | f | Buchung | Buchung | Buchungen
museum | n | Museum | Museums | Museen
artist | m | Künstler | Künstlers | Künstler
painting | n | Gemälde | Gemäldes | Gemälde
farmer | m | Bauer | Bauern | Bauern | Bauern
farm | m | Hof | Hofes | Höfe
brand | f | Marke | Marke | Marken
car | n | Auto | Autos | Autos
rental | f | Vermietung | Vermietung | Vermietungen
company | f | Firma | Firma | Firmen
department | f | Abteilung | Abteilung | Abteilungen
employee | m | Mitarbeiter | Mitarbeiters | Mitarbeiter
station | m | Bahnhof | Bahnhofs | Bahnhöfe
train | m | Zug | Zuges | Züge
ticket | n | Ticket | Tickets | Tickets
""")

# Columns: gender | nominative | accusative and dative of weak nouns, else = | plural, or - for what has none |
# of a number of things: their dative plural.
COLUMNS = table_of_words("""
name | m | Name | Namen | Namen
title | m | Titel | = | Titel
city | f | Stadt | = | Städte
country | n | Land | = | Länder
type | m | Typ | = | Typen
color | f | Farbe | = | Farben
genre | n | Genre | = | Genres
level | n | Niveau | = | Niveaus
date | n | Datum | = | Daten
year | n | Jahr | = | Jahre
age | n | Alter | = | -
price | m | Preis | = | Preise
salary | n | Gehalt | = | Gehälter
rating | f | Bewertung | = | Bewertungen
score | n | Ergebnis | = | Ergebnisse
budget | n | Budget | = | Budgets
balance | m | Saldo | = | Salden
speed | f | Geschwindigkeit | = | Geschwindigkeiten
floor | n | Stockwerk | = | Stockwerke
weight | n | Gewicht | = | Gewichte
area | f | Fläche | = | Flächen
capacity | f | Kapazität | = | Kapazitäten
quantity | f | Menge | = | Mengen
length | f | Länge | = | Längen
distance | f | Entfernung | = | Entfernungen
goals | f | Torzahl | = | Torzahlen | Toren
points | f | Punktzahl | = | Punktzahlen | Punkten
seats | f | Platzzahl | = | Platzzahlen | Plätzen
pages | f | Seitenzahl | = | Seitenzahlen | Seiten
hours | f | Stundenzahl | = | Stundenzahlen | Stunden
days | f | Dauer | = | - | Tagen
nights | f | Nächtezahl | = | Nächtezahlen | Nächten
stars | f | Sternezahl | = | Sternezahlen | Sternen
visitors | f | Besucherzahl | = | Besucherzahlen | Besuchern
calories | f | Kalorienzahl | = | Kalorienzahlen | Kalorien
""")
